# Image for the Kubernetes launcher: docker build -t countdown-r1 .
# The full Debian image has the C compiler that vLLM's kernels ask for at run time. Not every machine can build
# images: tests/test_image.py runs the RUN lines as a script instead.
FROM python:3.12-bookworm
WORKDIR /opt/countdown-r1
COPY . .
ARG EXTRAS=train,vllm,deepspeed,qlora
ARG CONSTRAINTS=constraints/gpu.txt
RUN python -m pip install --no-cache-dir -c "$CONSTRAINTS" ".[$EXTRAS]"
RUN countdown-r1 --version && python -c "import trl, torch"
WORKDIR /workspace
CMD ["countdown-r1", "--help"]
