# CPU image. docker build -t fetal-hc-node .
#   docker run -p 11112:11112 -v fetalhc:/data -v ./config.yaml:/config.yaml:ro fetal-hc-node
# On x86, TORCH_INDEX_URL (--build-arg) with an index of CPU builds keeps several GB of CUDA libraries out of the image.
FROM python:3.11-slim

ARG TORCH_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /opt/fetal-hc-node
COPY pyproject.toml requirements.lock README.md LICENSE NOTICE ./
COPY tools/ tools/
COPY inference/ inference/
COPY sr_templates/ sr_templates/
COPY dicom_node/ dicom_node/
RUN TORCH_INDEX_URL="${TORCH_INDEX_URL}" tools/bootstrap runtime
COPY weights/ weights/
COPY docs/evaluation/ docs/evaluation/
COPY config.yaml /config.yaml

# The account has a fixed number, so that a mounted folder can be given to it: chown 10001:10001 folder.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data fetalhc \
    && install -d -o fetalhc -g fetalhc -m 0700 /data
USER fetalhc

# data_dir is ./data by default: from / that is the volume.
WORKDIR /
ENV DICOM_NODE_CONFIG=/config.yaml \
    PATH="/opt/fetal-hc-node/.venv/bin:${PATH}"
VOLUME /data
EXPOSE 11112

# C-ECHO to the node itself; it answers its own AE title from this machine even when no peer is listed. An image whose
# config.yaml has another ae_title or port needs another line here (docker run --health-cmd).
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["dicom-node", "echo", "FETALHC@127.0.0.1:11112"]

ENTRYPOINT ["dicom-node"]
CMD ["serve"]
