# The commands for daily work. Each first installs what it needs (deploy/setup.py) and then does one thing.
PYTHON ?= python3
PY := .venv/bin/python
SETUP := $(PYTHON) deploy/setup.py
COMPOSE ?= docker compose

.DEFAULT_GOAL := help
.PHONY: help run dev test test-unit chaos bench check fmt lock images images-all doctor up down

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: ## install what is missing and serve http://127.0.0.1:8000 (set HOST, PORT and DATA_DIR to change that)
	@$(SETUP) app
	@exec $(PY) manage.py up

dev: ## like run, but reload and rebuild the front end on every change
	@$(SETUP) dev
	@exec $(PY) deploy/dev.py

# If the virtual environment has a node, it is there because the system's is too old.
test: export PATH := $(CURDIR)/.venv/bin:$(PATH)
test: ## install what is missing and run all tests
	@$(SETUP) tests
	@$(PY) deploy/test.py

test-unit: ## run the tests that start no server, sandbox or browser, in one to two minutes: for every change
	@$(SETUP) dev
	@$(PY) deploy/test.py unit

chaos: export PATH := $(CURDIR)/.venv/bin:$(PATH)
chaos: ## test durability on real servers under fire: kill -9, no Redis, lost messages, hostile frames, random requests (an hour)
	@$(SETUP) tests
	@$(PY) -m pytest tests/chaos -o python_files='chaos_*.py' -s -v

bench: ## compare the live document with y-websocket, Hocuspocus and a Channels consumer (benchmarks/realtime/README.md)
	@$(SETUP) tests
	@$(PY) benchmarks/realtime/run.py

check: ## check style, types, dependencies, import directions, migrations, deploy settings, front end and documents
	@$(SETUP) check
	@$(PYTHON) deploy/check.py

fmt: ## format the Python sources
	@$(SETUP) check
	@$(PY) -m ruff format . && $(PY) -m ruff check --fix .

messages: ## generate the front end's types of the socket messages from sessions_app/messages.py
	@$(SETUP) check
	@$(PY) deploy/message_types.py

lock: ## pin the newest allowed versions in requirements*.txt and deploy/node.txt
	@$(SETUP) check
	@$(PY) deploy/lock.py

images: ## build the sandbox images of the common languages and test each language
	@$(SETUP) images
	@$(PY) -m execution.images.build

images-all: ## build the sandbox images of all languages and test each language
	@$(SETUP) images
	@$(PY) -m execution.images.build --all

doctor: ## list what is missing on this machine, with the command that fixes it
	@$(PYTHON) deploy/setup.py doctor

up: ## start the full stack with Docker Compose; generates random secrets in .env on the first start
	@$(SETUP) compose
	@$(MAKE) --no-print-directory images
	@$(PYTHON) deploy/write_env.py
	@$(COMPOSE) up --build --detach --wait

down: ## stop the stack; its data stays in the volumes
	@$(COMPOSE) down
