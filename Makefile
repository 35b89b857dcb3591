# Every target prepares the environment in .venv first. Once that is done, none but `lock` needs the network.
# POSIX make; GNU make 3.81 or later is fine.

UV_VERSION = 0.13.9
# The uv on PATH, or else the one that `bootstrap` puts into .uv.
UV = $$(command -v uv || echo .uv/bin/uv)
BIN = .venv/bin
READY = .venv/.ready
STRONGREID = $(BIN)/strongreid

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## create .venv with the locked packages and this project

# Distances are calibrated on people that were neither trained on nor are tested: another seed's, by other cameras.
demo: $(READY) ## the main job on generated pictures: generate, train, evaluate, report, and a gallery to search
	$(STRONGREID) synthesize demo/data --seed 7
	$(STRONGREID) train --preset tiny --data.root demo/data --run.output demo/run --resume
	$(STRONGREID) synthesize demo/others --seed 8 --train_identities 1 --test_identities 40 --quiet
	$(STRONGREID) calibrate demo/run/last demo/others --quiet
	rm -rf demo/people.gallery
	$(STRONGREID) gallery add demo/people.gallery demo/data/bounding_box_test --model demo/run/last --quiet
	@echo
	@cat demo/run/table.txt
	@echo
	@echo "Search the test pictures in your browser (it asks nobody but this machine):"
	@echo "  $(STRONGREID) serve demo/people.gallery --model demo/run/last --pictures demo/data"

smoke: $(READY) ## the main job in about a minute, on a small generated set
	rm -rf build/smoke
	$(STRONGREID) synthesize build/smoke/data --seed 7 --train_identities 32 --test_identities 16 --quiet
	$(STRONGREID) inspect build/smoke/data --sheet build/smoke/sheet.png
	$(STRONGREID) train --preset tiny --data.root build/smoke/data --run.output build/smoke/run \
		--optim.epochs 3 --eval.every 0 --quiet
	$(STRONGREID) evaluate build/smoke/run/best build/smoke/data --rerank k_reciprocal --quiet
	$(STRONGREID) extract build/smoke/run/best build/smoke/data/query build/smoke/query.parquet --quiet

test: $(READY) ## run the tests
	HF_HUB_OFFLINE=1 $(BIN)/pytest

lint: $(READY) ## check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY) ## check the types
	$(BIN)/mypy

lock: bootstrap ## resolve the dependencies anew into requirements.lock (needs the network)
	$(UV) pip compile pyproject.toml --all-extras --group dev --universal --generate-hashes --quiet \
		--custom-compile-command "make lock" --no-emit-index-url --no-emit-find-links -o requirements.lock

clean: ## remove the environment, caches and built packages; runs and data stay
	rm -rf .venv .uv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -path ./data -prune -o -path ./runs -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The project's own build back end is in the lock too: hence no build isolation, which would fetch it unpinned.
$(READY): requirements.lock pyproject.toml
	@$(MAKE) bootstrap
	test -x $(BIN)/python || $(UV) venv --python '>=3.11' .venv
	$(UV) pip install --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $(READY)

bootstrap:
	@command -v uv >/dev/null || test -x .uv/bin/uv || \
		{ python3 -m venv .uv && .uv/bin/python -m pip install --quiet uv==$(UV_VERSION); }

.PHONY: help setup demo smoke test lint types lock clean bootstrap
