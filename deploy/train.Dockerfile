# What every training pod runs: trainers, input workers, the dispatcher.
#   docker build -f deploy/train.Dockerfile -t REGISTRY/keras-applications:1 .
FROM python:3.12-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt && \
    useradd --uid 1000 --create-home train
COPY apps apps
COPY common common
USER train
ENTRYPOINT ["python", "-m"]
