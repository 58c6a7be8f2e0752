"""THE LOOP."""

from .config import PretrainConfig
from .process_group import set_up_process, start_process_group
from .run_folder.folder import locked_run_folder
from .run_folder.rank_progress import kept_progress
from .session import RunResult
from .session_setup import open_session
from .stop_signal import watch_stop_signals


def pretrain(config: PretrainConfig, *, launcher: int | None = None) -> RunResult:
    """Train until `run.max_steps`, from where the run of that name stopped (collective).

    Args:
        config: All options.
        launcher: Process whose end stops the run, see `watch_stop_signals`.

    Raises:
        ValueError, OSError, RuntimeError: What the user can mend; the message says how.
    """
    group = start_process_group(config.run, precision=config.precision)
    set_up_process(config.run, group=group)
    with (
        watch_stop_signals(launcher=launcher) as stop,
        locked_run_folder(config.run, group=group) as folder,
        kept_progress(folder.path, config=config.run, group=group) as progress,
    ):
        session = open_session(config, group=group, folder=folder, stop=stop, progress=progress)
        if session.is_finished:
            return session.already_finished()
        with session.tracked():
            if session.validation_is_due:  # a signal had broken it off
                session.validate()
                session.save()
            for micro_batches in session.steps():
                outcome = session.take_step(micro_batches)
                session.log(outcome)
                if session.validation_is_due:
                    session.validate()
                if session.checkpoint_is_due:
                    session.save()
            return session.conclude()
