"""From options to a session that can take its next step. Everything is checked on the way."""

import json
import logging
from pathlib import Path

from model import AVERAGED_WEIGHTS, Segmenter
from shards import num_micro_batches
from shards.sample_stream import StreamLoader

from .batch_normalization import synchronise_batch_norms
from .batches import TrainingBatch, make_training_loader
from .checkpoint import OPTIMIZER, read_tensors
from .config import PretrainConfig
from .correction import Corrections
from .distillation import open_teacher, start_from_teacher
from .ema import MovingAverage
from .engines.engine import Engine
from .flattened_base import with_flattened_base
from .learnt_from import learnt_from, read_learnt_from
from .optimizer import build_optimizer
from .process_group import ProcessGroup
from .resume import checkpoint_to_resume, resume_state
from .run_folder.folder import RunFolder
from .run_folder.rank_progress import RankProgress
from .run_folder.state import RunIdentity, RunState
from .segmenter_setup import PreparedSegmenter, initialize_segmenter, prepare_segmenter
from .session import Session, SessionParts
from .stepper import Stepper
from .stop_signal import StopSignal
from .tracking.run_records import RunRecords
from .train_step import TrainingStep
from .training_data import TrainingData, open_training_data
from .validation import check_validation

_logger = logging.getLogger(__name__)


def open_session(
    config: PretrainConfig,
    *,
    group: ProcessGroup,
    folder: RunFolder,
    stop: StopSignal,
    progress: RankProgress,
) -> Session:
    """Open the data, build the model, and take over the run's latest checkpoint (collective).

    Raises:
        ValueError, FileNotFoundError: An option, a file or the checkpoint does not fit.
    """
    per_step = _micro_batches_per_step(config, group=group)
    data = open_training_data(config.data, seed=config.run.seed)
    given = config
    config = with_flattened_base(config, folder=folder, group=group)
    prepared = prepare_segmenter(config, categories=data.categories)
    if data.validation is not None:
        check_validation(prepared.segmenter, data.validation, config=config, group=group)
    teacher = open_teacher(config.distillation, student=prepared.segmenter)
    checkpoint = group.on_main(lambda: checkpoint_to_resume(folder.checkpoints))
    identity = _identity(config, data=data, prepared=prepared)
    layouts = {"model.base": prepared.base.layout if prepared.base else None}
    if checkpoint is not None:
        state = resume_state(checkpoint, identity=identity)
        prepared.load_saved_state(checkpoint)
        _logger.info("Resuming from %s.", checkpoint)
    else:
        state = RunState(identity=identity)
        if teacher is not None:
            start_from_teacher(prepared.segmenter, teacher)
        if config.initialize_from is not None:
            layouts["initialize_from"] = initialize_segmenter(
                prepared,
                source=config.initialize_from,
                registry=config.tracking.address(Path(config.run.root)),
            )

    kept = None if checkpoint is None else group.on_main(lambda: read_learnt_from(folder))
    synchronise_batch_norms(prepared.segmenter, num_ranks=group.num_ranks, device=group.device)
    step_module = TrainingStep(
        prepared.segmenter,
        objective=config.objective,
        global_batch_size=config.data.global_batch_size,
        num_ranks=group.num_ranks,
        precision=config.precision,
        corrections=Corrections.of(config),
        teacher=teacher,
    ).train()
    progress.note_passes_of(step_module)
    # The weights have their values by now: an engine may part them, and takes its masters of them.
    engine = group.wrap(
        step_module,
        build_optimizer(prepared.segmenter, config=config.optimizer),
        clip_gradient_norm=config.optimizer.clip_gradient_norm,
    )
    average = _moving_average(config, engine=engine)
    if checkpoint is not None:
        engine.load_optimizer_state(read_tensors(checkpoint / OPTIMIZER))
        if average is not None and (checkpoint / AVERAGED_WEIGHTS).is_file():
            average.load(engine.parts_of(read_tensors(checkpoint / AVERAGED_WEIGHTS)))
    parts = SessionParts(
        data=data,
        prepared=prepared,
        engine=engine,
        stepper=Stepper(
            engine,
            config=config,
            group=group,
            average=average,
            segmenter=prepared.segmenter,
        ),
        average=average,
        learnt_from=learnt_from(given, layouts=layouts) if kept is None else kept,
        loader=_training_loader(
            config, data=data, segmenter=prepared.segmenter, group=group, first_step=state.step
        ),
        num_micro_batches=per_step,
        state=state,
        records=RunRecords(folder, config=config, is_on=group.is_main),
    )
    return Session(parts, config=config, group=group, folder=folder, stop=stop, progress=progress)


def _micro_batches_per_step(config: PretrainConfig, *, group: ProcessGroup) -> int:
    per_step = num_micro_batches(
        global_batch_size=config.data.global_batch_size,
        micro_batch_size=config.data.micro_batch_size,
        num_ranks=group.num_ranks,
    )
    _logger.info(
        "Global batch %d = %d ranks x %d accumulated x %d images; %s.",
        config.data.global_batch_size,
        group.num_ranks,
        per_step,
        config.data.micro_batch_size,
        config.precision,
    )
    return per_step


def _identity(
    config: PretrainConfig, *, data: TrainingData, prepared: PreparedSegmenter
) -> RunIdentity:
    stream = data.plan.identity | {"global_batch_size": config.data.global_batch_size}
    return RunIdentity(
        stream=stream,
        # As it will be read back: JSON knows no tuples.
        architecture=json.loads(json.dumps(prepared.architecture)),
        base_sha256=prepared.base.sha256 if prepared.base else None,
    )


def _moving_average(config: PretrainConfig, *, engine: Engine) -> MovingAverage | None:
    decay = config.optimizer.ema_decay
    return None if decay is None else MovingAverage(engine.weight_parts(), decay=decay)


def _training_loader(
    config: PretrainConfig,
    *,
    data: TrainingData,
    segmenter: Segmenter,
    group: ProcessGroup,
    first_step: int,
) -> StreamLoader[TrainingBatch]:
    return make_training_loader(
        corpora=data.corpora,
        plan=data.plan,
        framing=segmenter.framing,
        num_channels=segmenter.architecture.num_channels,
        categories=segmenter.categories,
        prompts=config.prompts,
        augmentation=config.augmentation,
        num_error_clicks=0
        if segmenter.is_automatic
        else config.num_error_clicks * Corrections.of(config).draws_per_pass,
        seed=config.run.seed,
        max_objects_per_image=config.data.max_objects_per_image,
        global_batch_size=config.data.global_batch_size,
        micro_batch_size=config.data.micro_batch_size,
        rank=group.rank,
        num_ranks=group.num_ranks,
        first_step=first_step,
        num_workers=config.data.num_workers,
        replaces_broken=config.data.max_broken_samples > 0,
    )
