# The service with its page: docker build -t maskwise . && docker compose up
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv /opt/maskwise && /opt/maskwise/bin/pip install --no-cache-dir .

FROM python:3.12-slim
COPY --from=build /opt/maskwise /opt/maskwise
RUN useradd --system --uid 10001 --no-create-home maskwise
USER 10001
ENV PATH=/opt/maskwise/bin:$PATH PYTHONDONTWRITEBYTECODE=1 MASKWISE_HOST=0.0.0.0 MASKWISE_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import os; from urllib.request import urlopen; urlopen('http://127.0.0.1:' + os.environ['MASKWISE_PORT'] + '/health/live', timeout=2)"]
ENTRYPOINT ["maskwise"]
CMD ["serve"]
