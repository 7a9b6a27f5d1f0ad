# Image for the Kubernetes launcher: docker build -t countdown-r1 .
# Every RUN line is also run as a shell script by tests/test_image.py, since not every machine can build images.
FROM python:3.12-slim-bookworm
WORKDIR /opt/countdown-r1
COPY . .
ARG EXTRAS=train,vllm,deepspeed
ARG CONSTRAINTS=constraints/gpu.txt
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
RUN python -m pip install --no-cache-dir -c "$CONSTRAINTS" ".[$EXTRAS]"
RUN countdown-r1 --version && python -c "import trl, torch"
WORKDIR /workspace
CMD ["countdown-r1", "--help"]
