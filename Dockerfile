# Training image: the locked environment and this repository. Runs on a CPU or, with the NVIDIA container
# runtime, on GPUs: torch's wheels bring their own CUDA libraries.
#   docker build -t samuspretrain .
#   docker run --rm --gpus all --shm-size 8g -v /data:/data -v /runs:/runs samuspretrain \
#     accelerate launch launchers/pretrain.py preset=samus_vit_b data.train=/data/us30k/train run.root=/runs
FROM python:3.11-slim-bookworm

RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc g++ git make \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/samuspretrain
RUN python -m venv .venv
ENV PATH=/opt/samuspretrain/.venv/bin:$PATH \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1

# The environment is a layer of its own: it changes with the lock file, not with the code.
COPY pyproject.toml requirements.lock ./
RUN grep -v '^#' requirements.lock > /tmp/lock \
 && pip install --no-cache-dir --requirement /tmp/lock

COPY . .
RUN pip install --no-cache-dir --no-deps --editable .

# An unprivileged user; /runs is where run folders go.
RUN useradd --create-home trainer && mkdir /runs && chown trainer /runs
USER trainer
CMD ["python", "launchers/doctor.py"]
