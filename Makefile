# The commands a person needs. Each installs what it lacks by itself (deploy/setup.py) and then does one thing.
PYTHON ?= python3
PY := .venv/bin/python
SETUP := $(PYTHON) deploy/setup.py
COMPOSE ?= docker compose

.DEFAULT_GOAL := help
.PHONY: help run dev test test-fast chaos bench check fmt lock images images-all doctor up down

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: ## set up what is missing and serve on http://127.0.0.1:8000 (HOST, PORT and DATA_DIR change that)
	@$(SETUP) app
	@exec $(PY) manage.py up

dev: ## like run, with reload on change and a front-end build that follows its sources
	@$(SETUP) dev
	@exec $(PY) deploy/dev.py

# The environment's node, when there is one, is there because the machine's is too old.
test: export PATH := $(CURDIR)/.venv/bin:$(PATH)
test: ## set up what is missing and run all tests
	@$(SETUP) tests
	@$(PY) deploy/test.py

test-fast: ## the tests that start no server, sandbox or browser: for every change, in under two minutes
	@$(SETUP) dev
	@$(PY) -m pytest -q -n 2 --dist loadgroup --ignore=tests/e2e -m "not slow"

chaos: export PATH := $(CURDIR)/.venv/bin:$(PATH)
chaos: ## prove what saved means on real servers under fire: kill -9, no Redis, lost messages, hostile frames, random requests (an hour)
	@$(SETUP) tests
	@$(PY) -m pytest tests/chaos -o python_files='chaos_*.py' -s -v

bench: ## measure the live document beside y-websocket, Hocuspocus and a Channels consumer (benchmarks/realtime/README.md)
	@$(SETUP) tests
	@$(PY) benchmarks/realtime/run.py

check: ## lint, types, import directions, migrations, deploy settings, front-end types, documents
	@$(SETUP) check
	@$(PYTHON) deploy/check.py

fmt: ## format the Python sources
	@$(SETUP) check
	@$(PY) -m ruff format . && $(PY) -m ruff check --fix .

messages: ## write the front end's types of the socket's messages (sessions_app/messages.py has them)
	@$(SETUP) check
	@$(PY) deploy/message_types.py

lock: ## pin the newest allowed versions in requirements*.txt and deploy/node.txt
	@$(SETUP) check
	@$(PY) deploy/lock.py

images: ## build the sandbox images of the common languages, and try each language
	@$(SETUP) images
	@$(PY) -m execution.images.build

images-all: ## build the sandbox images of all languages, and try each language
	@$(SETUP) images
	@$(PY) -m execution.images.build --all

doctor: ## say what is missing on this machine and the command that repairs it
	@$(PYTHON) deploy/setup.py doctor

up: ## start the whole stack with Docker Compose, with random secrets in .env on the first start
	@$(SETUP) compose
	@$(MAKE) --no-print-directory images
	@$(PYTHON) deploy/write_env.py
	@$(COMPOSE) up --build --detach --wait

down: ## stop the stack; its data stay in their volumes
	@$(COMPOSE) down
