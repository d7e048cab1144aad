# Every target sets up what it needs: .venv, locked, without root. See `make help`.
RUN := .venv/bin/python
ARGS ?=
DEMO_IMAGES ?=

.DEFAULT_GOAL := help
.PHONY: help demo demo-serve test lint format types bench soak config catalogue lock runtime dev viewer dcmjs clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  PYTHON=/path/to/python   the Python that .venv is made with (3.11 or newer)"
	@echo "  TORCH_INDEX_URL=...      where torch is looked for first, for example an index of CPU builds"
	@echo "  DEMO_IMAGES=folder       your own DICOM files for make demo"
	@echo "  ARGS=...                 more arguments, for example make test ARGS='-k storage'"

demo: runtime ## push an ultrasound study through the node into a stand-in PACS, show what came back, stop
	@$(RUN) -m dicom_node demo $(if $(DEMO_IMAGES),--images "$(DEMO_IMAGES)") $(ARGS)

demo-serve: runtime ## the same, and leave node and PACS running until Ctrl-C
	@$(RUN) -m dicom_node demo --serve $(if $(DEMO_IMAGES),--images "$(DEMO_IMAGES)") $(ARGS)

test: dev ## all tests; those whose Debian program is absent are skipped with the line that installs it
	@$(RUN) -m pytest $(ARGS)

lint: dev ## ruff: rules and format; bandit: what security reviews look for
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m bandit --quiet --configfile pyproject.toml --recursive dicom_node inference sr_templates tools

format: dev ## let ruff put things right
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

types: dev ## mypy, strict
	@$(RUN) -m mypy

bench: dev ## every benchmark; writes benchmarks/results.json and docs/reliability.md
	@$(RUN) -m benchmarks $(ARGS)
	@$(RUN) tools/write_reliability.py

soak: dev ## the long fault tests; adds to soak.json and (as root) hosts.json, writes fuzz.json and bad_peers.json in benchmarks
	@SOAK_JSON=$(CURDIR)/benchmarks/soak.json $(RUN) -m pytest --run-slow -m slow -s --timeout=0 $(ARGS)
	@$(RUN) tools/write_reliability.py

config: runtime ## write config.yaml again from dicom_node/config.py
	@$(RUN) tools/write_config.py

catalogue: runtime ## make the message catalogues of the PDF again from what translators wrote
	@$(RUN) tools/catalogue.py

lock: dev ## write requirements.lock again from what is installed
	@$(RUN) tools/lock.py

runtime:
	@tools/bootstrap runtime

dev:
	@tools/bootstrap dev

viewer: ## the OHIF viewer, the driver of its browser and axe-core, for tests/viewer (200 MB; needs Node.js, npm, chromium)
	@npm ci --prefix tests/viewer --ignore-scripts --no-audit --no-fund --loglevel=error

dcmjs: ## dcmjs-dimse, a scanner for tests/integration/test_dcmjs.py (40 MB; needs Node.js, npm)
	@npm ci --prefix tests/dcmjs --ignore-scripts --no-audit --no-fund --loglevel=error

clean: ## remove .venv and every cache
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
