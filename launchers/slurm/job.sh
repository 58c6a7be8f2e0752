# What every job of launchers/submit_slurm.py does, below a head of its own that sets job, folder,
# logs, grace_seconds, max_losses and task. One task a node, every count from SLURM_*. The exit codes
# are explained in docs/slurm.md.
losses="$folder/logs/$job-$SLURM_JOB_ID.losses"
mkdir -p "$logs"
export PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1
# srun does not take this over from sbatch.
if [[ -n "${SLURM_CPUS_PER_TASK:-}" ]]; then export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"; fi
# How long torch's launcher leaves ranks to save after a SIGTERM before it kills them; else 30 s.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT="$grace_seconds"

# SIGUSR2 comes here alone, ahead of the time limit; srun hands it on to the ranks, which save.
# SIGTERM comes to everybody: Slurm ends the job, and queues it again itself where it should.
again=0 ended=0 step=""
trap 'again=1; kill -USR2 "$step" 2> /dev/null || true' USR2
trap 'again=1; ended=1' TERM

# Whatever does not wait for SIGUSR2 as the ranks do, such as their launcher, is to outlive it.
# shellcheck disable=SC2016
srun --ntasks-per-node=1 --kill-on-bad-exit=0 --wait="$grace_seconds" --output="$logs/node-%n.log" \
  bash -c 'trap "" USR2; exec "$@"' "$job" "${task[@]}" &
step=$!
while
  again=0 code=0
  wait "$step" || code=$?
  [[ $again = 1 ]]
do :; done

say() { echo "$(date '+%F %T') $job: $*"; }

if [[ $code = 0 ]]; then
  say "done."
  mkdir -p "$folder/done" && touch "$folder/done/$job"
  rm -f "$losses"
  exit 0
fi
tail --lines=5 "$logs"/node-*.log || true
if [[ $ended = 1 ]]; then
  say "ended by Slurm, with exit code $code."
  exit "$code"
fi
case $code in
  2 | 78)
    say "gave up with exit code $code: the same would happen again. See $logs."
    exit "$code"
    ;;
  75)
    say "saved after a signal, and goes on."
    rm -f "$losses"
    ;;
  *)
    echo "$code" >> "$losses"
    lost=$(wc -l < "$losses")
    say "lost a process (exit code $code), $lost in a row; see $logs."
    if ((lost > max_losses)); then exit "$code"; fi
    ;;
esac
scontrol requeue "$SLURM_JOB_ID"
exit "$code"
