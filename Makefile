# The one entry to wirebook: `make` lists the targets. Each target installs what it needs, once.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
# Another fleet: make deploy INVENTORY=inventory/production HOST=colo1, or export INVENTORY once.
INVENTORY ?= inventory/lab
HOST ?=

PLAY := ansible-playbook -i $(INVENTORY)
PYTEST := python -m pytest --quiet
, := ,
# Twice quiet: errors only.
PIP := .venv/bin/python -m pip --quiet --quiet --disable-pip-version-check
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- hosts ------------------------------------------------------------------------------------------------------------

# Refuses a HOST that the inventory doesn't know, and says which hosts it does.
define need_host
@[ -e $(INVENTORY) ] || { echo "There is no $(INVENTORY): choose INVENTORY from: $(wildcard inventory/*)" >&2; exit 2; }
@hosts=$$(ansible nodes -i $(INVENTORY) --list-hosts | tail -n +2 | xargs); \
case " $$hosts " in \
*" $(HOST) "*) ;; \
*) echo "$(if $(HOST),There is no host $(HOST) in $(INVENTORY),Say which host): make $@ HOST=... with one of: $$hosts" >&2; exit 2 ;; \
esac
endef

# Judges the whole inventory, and HOST's name, before any host is asked: what is wrong is told with file and line.
JUDGE = tools/inventory check $(INVENTORY) --target $@

.PHONY: check suggest plan inventory diff facts facts-script deploy verify jitter rollout rollback undo
check: .venv/.requirements-controller collection ## judge the whole inventory, every mistake with its file and line; asks no host
	@$(JUDGE) && echo "$(INVENTORY): nothing is wrong"

# From the facts that are saved beside the inventory; without any the host is asked.
plan: .venv/.requirements-controller collection .cache/packages-controller ## draw HOST (or all) as a deploy would make it, or refuse the inventory; changes nothing
	@tools/inventory plan $(INVENTORY) --host '$(HOST)' || { status=$$?; [ $$status -eq 3 ] || exit $$status; $(PLAY) playbooks/plan.yml --limit $(HOST); }

inventory: .venv/.requirements-controller collection ## show what HOST gets, each value with the file and line that set it
	@tools/inventory show $(INVENTORY) --host '$(HOST)'

# FROM=COMMIT and TO=COMMIT; without TO the inventory as it lies here.
diff: .venv/.requirements-controller collection ## show which hosts a change of INVENTORY changes, what reboots and what restarts (FROM=HEAD TO=...)
	@tools/inventory diff $(INVENTORY) $(or $(FROM),HEAD) $(TO)

facts: .venv/.requirements-controller collection .cache/packages-controller ## save beside the inventory what HOST (or all) is, for plans without it; read only
	$(if $(filter all,$(HOST)),,$(need_host))
	@$(PLAY) playbooks/facts.yml --limit $(HOST)

facts-script: .venv/.requirements-controller collection ## make one file that does the same in remote hands, with nothing but Python: .cache/wirebook-facts
	@tools/inventory script .cache/wirebook-facts

suggest: .venv/.requirements-controller collection .cache/packages-controller ## suggest isolated CPUs, services and hugepages for HOST by its own CPUs, caches and NICs; changes nothing
	$(need_host)
	@$(PLAY) playbooks/suggest.yml --limit $(HOST)

# TAGS="ROLE ..." runs these roles only.
deploy: .venv/.requirements-controller collection .cache/packages-controller ## provision HOST, reboot it if its kernel command line changes, prove it (starts the twin if need be)
	@groups=$$($(JUDGE) --host '$(HOST)' --groups) && case " $$groups " in *" lab "*) $(MAKE) lab HOST=$(HOST) ;; esac
	@$(PLAY) playbooks/deploy.yml --limit $(HOST) $(if $(TAGS),--tags '$(subst $() ,$(,),$(strip $(TAGS)))')

verify: .venv/.requirements-controller collection .cache/packages-controller ## prove every knob of HOST and its feeds; changes nothing
	$(need_host)
	@$(PLAY) playbooks/verify.yml --limit $(HOST)

# STOP="UNIT ..." stops what runs on those CPUs and starts it again; CPUS=LIST measures only these.
jitter: .venv/.requirements-controller collection ## measure HOST's isolated CPUs under load (SECONDS=60); refused while something runs on them
	$(need_host)
	@$(PLAY) playbooks/jitter.yml --limit $(HOST) --extra-vars 'jitter_seconds=$(or $(SECONDS),60) jitter_cpus="$(CPUS)" jitter_stop="$(STOP)"'

rollout: .venv/.requirements-controller collection .cache/packages-controller ## deploy to all hosts of INVENTORY: one canary, a quarter, the rest; stops at the first failure
	@$(JUDGE)
	@$(PLAY) playbooks/rollout.yml

rollback: .venv/.requirements-controller collection ## run the engine's previous release on HOST, code and configuration
	$(need_host)
	@$(PLAY) playbooks/rollback.yml --limit $(HOST)

undo: .venv/.requirements-controller collection ## take back all changes on HOST, by its ledger, and reboot it; recorded data is kept
	$(need_host)
	@$(PLAY) playbooks/undo.yml --limit $(HOST)

# --- the twin ---------------------------------------------------------------------------------------------------------

.PHONY: lab lab-stop lab-reset lab-ssh
lab lab-stop lab-reset lab-ssh: HOST := $(or $(HOST),lab1)
lab: .venv/.requirements-controller collection .cache/packages-lab ## build and boot the twin (HOST=lab1)
	$(need_host)
	@$(PLAY) playbooks/lab.yml --limit $(HOST) --extra-vars twin_state=started

lab-stop: .venv/.requirements-controller collection ## shut the twin down
	$(need_host)
	@$(PLAY) playbooks/lab.yml --limit $(HOST) --extra-vars twin_state=stopped

lab-reset: .venv/.requirements-controller collection ## shut the twin down and delete its disk: the next start is a bare image
	$(need_host)
	@$(PLAY) playbooks/lab.yml --limit $(HOST) --extra-vars twin_state=absent

lab-ssh: ## log in to the twin
	@ssh -F $(or $(LAB_DIR),.lab)/$(HOST)/ssh_config $(HOST)

# --- the engine -------------------------------------------------------------------------------------------------------

APP_SOURCES := $(shell find app/src app/meson.build app/meson.options app/pyproject.toml -type f -not -path '*/__pycache__/*')

.PHONY: app wheel bench demo
app: .venv/.wirebook ## build the engine for this machine's CPU: .venv/bin/wirebook
.venv/.wirebook: .venv/.requirements-app .venv/.requirements-build .cache/packages-app $(APP_SOURCES)
	@echo "Building the engine for this CPU (a minute the first time)"
	@$(PIP) install --no-deps --no-build-isolation --force-reinstall \
		--config-settings=setup-args=-Dmarch=native --config-settings=build-dir=$(CURDIR)/.cache/app-build ./app
	@touch $@

# Each CPU level has a folder of its own, since the name of a wheel doesn't tell them apart.
MARCH ?= x86-64-v3
wheel: .venv/.requirements-app .venv/.requirements-build .cache/packages-app ## build a wheel of the engine in app/dist/MARCH (x86-64-v3); PGO=1 trains it with a profile
	@python app/bench/wheel.py $(if $(filter-out 0,$(PGO)),--pgo) --march $(MARCH) app/dist/$(MARCH)

bench: .venv/pyvenv.cfg .cache/packages-app ## measure the hot path beside bare C and other programs; ONLY="book_hot ring" runs only these
	@python app/bench/run.py $(if $(ONLY),--only $(ONLY))

demo: app ## show the whole flow on this machine: venue, feed, multicast, books
	@wirebook demo

# --- tests ------------------------------------------------------------------------------------------------------------

SHELL_SCRIPTS = $(shell git grep --untracked -lE '^\#!.*\b(ba)?sh$$' -- . ':!*.j2')
# Python outside the package: linters don't find files without a suffix by themselves.
PYTHON_SCRIPTS = $(shell git grep --untracked -lE '^\#!.*python3?$$' -- . ':!*.py' ':!*.j2')
TWIN_PYTHON = $(shell git ls-files --cached --others --exclude-standard 'tests/twin/*.py')
# Ansible doesn't declare its types; mypy reads the annotations that it has.
MYPY := MYPYPATH=.cache/collections:.cache/on-host:app/src mypy --strict --no-error-summary --scripts-are-modules --follow-untyped-imports --untyped-calls-exclude=ansible
NODE := ansible_collections.wirebook.node

.PHONY: lint unit integration clients fuzz mutants molecule twin twin-full test
# ansible-lint looks in Ansible's home first, where an earlier version of this collection may be installed.
lint: .venv/.requirements-controller collection .venv/.requirements-test .venv/.requirements-app .cache/packages-test ## ruff, mypy --strict, cython-lint, ansible-lint, yamllint, shellcheck
	@echo "yamllint, ansible-lint, the inventories" && yamllint --strict . && ANSIBLE_HOME=.cache/ansible ansible-lint -q
	@for inventory in inventory/*; do tools/inventory check "$$inventory"; done
	@echo "ruff, mypy, cython-lint" && ruff check --quiet . $(PYTHON_SCRIPTS)
	@cd app && mypy --no-error-summary
	@$(MYPY) --disallow-any-unimported --package $(NODE).plugins --package $(NODE).tests.unit
	@$(MYPY) $(PYTHON_SCRIPTS)
	@$(MYPY) $(TWIN_PYTHON)
	@cython-lint --max-line-length 120 app/src
	@echo "shellcheck, the list of mutants" && shellcheck $(SHELL_SCRIPTS) && tools/mutants --list >/dev/null

unit: .venv/.requirements-test .venv/.requirements-controller collection .venv/.wirebook ## unit tests of the engine, and of the collection's plugins and roles
	@$(PYTEST) --rootdir=app --ignore=app/tests/integration app/tests
	@$(PYTEST) tests/unit
	@$(PYTEST) tests/twin/test_recap.py

integration: .venv/.requirements-test .cache/packages-test .venv/.wirebook ## test the engine over real sockets
	@$(PYTEST) --rootdir=app app/tests/integration

# Python 3.13 by that name, or behind pyenv's shims.
CLIENTS_PYTHON ?= python3.13
.cache/clients/.made: requirements/clients.txt | .cache
	@PYENV_VERSION=3.13 $(CLIENTS_PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "The clients need Python 3.13 with its venv module: name one with make clients CLIENTS_PYTHON=..." >&2; exit 2; }
	@echo "Installing requirements/clients.txt into .cache/clients"
	@rm -rf .cache/clients && PYENV_VERSION=3.13 $(CLIENTS_PYTHON) -m venv .cache/clients
	@.cache/clients/bin/python -m pip --quiet --quiet --disable-pip-version-check install --require-hashes --requirement $<
	@touch $@

clients: .venv/.requirements-test .venv/.wirebook .cache/clients/.made ## test other projects' clients (ccxt, cryptofeed, ...) with the simulated venues
	@$(PYTEST) --rootdir=app app/tests/integration/clients

# The engine once more, in a folder of its own, since a build with sanitizers is good for nothing else.
SANITIZED := .cache/sanitized
$(SANITIZED)/.made: .venv/.requirements-app .venv/.requirements-build .cache/packages-app $(APP_SOURCES)
	@echo "Building the engine with AddressSanitizer and UBSan"
	@rm -rf $(SANITIZED)
	@$(PIP) install --no-deps --no-build-isolation --target $(SANITIZED) $(addprefix --config-settings=setup-args=, \
		-Dbuildtype=plain -Doptimization=1 -Dc_args=-g1 -Db_sanitize=address$(,)undefined -Db_lundef=false -Db_lto=false) \
		--config-settings=build-dir=$(CURDIR)/.cache/sanitized-build ./app
	@touch $@

# Leaks aren't looked for, since Python keeps memory until it exits. Python's own allocator for small objects is switched
# off, since AddressSanitizer wouldn't see where an object ends.
fuzz: .venv/.requirements-test $(SANITIZED)/.made ## fuzz each transport, the books and the messages (COUNT=1000000 each) under AddressSanitizer and UBSan (root)
	@LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
		ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		PYTHONPATH=$(SANITIZED):app/tests python -m fuzz --count $(or $(COUNT),1000000)

mutants: .venv/.requirements-test .venv/.requirements-build .venv/.requirements-app .venv/.requirements-controller .cache/packages-app ## put in each fault of tests/mutants and see that a test notices it; ONLY="venues/ feed/" runs these, LIST=1 lists them
	@tools/mutants $(if $(LIST),--list) --only '$(ONLY)'

# feed_engine compiles the engine on its hosts, which is slow: make molecule SCENARIO=feed_engine.
MOLECULE_SCENARIOS := clock default fleet ledger packages
molecule: .venv/.requirements-test .venv/.requirements-controller ## test the roles on Debian 12 and 13 containers; SCENARIO="clock fleet" runs these, SEEDS=10 deploys ten more times
	@$(if $(SEEDS),SEEDS='$(SEEDS)') molecule/run $(or $(SCENARIO),$(MOLECULE_SCENARIOS))

twin: .venv/.requirements-test .venv/.requirements-controller collection .cache/packages-lab .cache/packages-controller ## test the roles on a booted kernel: a bare twin is deployed, rebooted, proven
	@$(PYTEST) --verbose --capture=no -m 'not full' tests/twin

twin-full: .venv/.requirements-test .venv/.requirements-controller collection .cache/packages-lab .cache/packages-controller ## the same and what takes long: every knob turned by hand, every end of a trial boot, killed deploys, undo
	@$(PYTEST) --verbose --capture=no tests/twin

test: ## lint, unit, integration, molecule and twin, one after another; CI runs this
	@for stage in lint unit integration molecule twin; do \
		printf '\n== %s\n' "$$stage"; started=$$SECONDS; \
		$(MAKE) "$$stage"; \
		printf '== %s passed in %d s\n' "$$stage" $$((SECONDS - started)); \
	done

# --- prerequisites ----------------------------------------------------------------------------------------------------

.cache:
	@mkdir -p $@

# Ansible finds a collection by its path, and a host's programs find wirebook_node in /usr/local/lib/wirebook. Here both are this checkout.
.PHONY: collection
collection: ## let Ansible and pytest find this checkout as the collection wirebook.node; other targets do this themselves
	@mkdir -p .cache/collections/ansible_collections/wirebook .cache/on-host
	@ln --symbolic --force --no-dereference ../../../.. .cache/collections/ansible_collections/wirebook/node
	@ln --symbolic --force --no-dereference ../../plugins/module_utils .cache/on-host/wirebook_node

# Debian 13's own QEMU has the igb model; on Debian 12 the role twin fetches one that has it.
QEMU_PACKAGE := $(shell . /etc/os-release 2>/dev/null && [ "$${VERSION_ID:-0}" -ge 13 ] 2>/dev/null && echo qemu-system-x86)
PACKAGES_controller := openssh-client mmdebstrap debian-archive-keyring
PACKAGES_lab := openssh-client mmdebstrap debian-archive-keyring e2fsprogs fdisk mount procps qemu-utils $(QEMU_PACKAGE)
PACKAGES_app := gcc libc6-dev python3-dev clang libbpf-dev libxdp-dev
PACKAGES_test := ethtool shellcheck tshark

.cache/packages-%: Makefile | .cache
	@tools/debian-packages "work with $*" $(PACKAGES_$*)
	@touch $@

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "wirebook needs Python 3.11 to 3.13: name one with make PYTHON=python3.11 ..." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || tools/debian-packages "make a virtual environment" python3-venv
	@echo "Making the virtual environment .venv"
	@$(PYTHON) -m venv .venv

.venv/.requirements-%: requirements/%.txt .venv/pyvenv.cfg
	@echo "Installing requirements/$*.txt into .venv"
	@$(PIP) install --require-hashes --requirement $<
	@touch $@

.PHONY: manuals
manuals: .venv/pyvenv.cfg collection ## rewrite the manual pages of the on-host programs, from what they say about their arguments
	@python tools/manual-pages

.PHONY: reference
reference: .venv/.requirements-controller ## rewrite docs/reference/variables.md, from the roles' argument specs and defaults
	@python tools/variable-reference

.PHONY: requirements
requirements: .venv/.requirements-test ## pin requirements/*.txt again, to the newest versions that requirements/*.in allow
	@cd requirements && for set in controller app build test bench; do \
		uv pip compile --quiet --upgrade --generate-hashes --no-header --python-platform linux --python-version 3.11 $$set.in --output-file $$set.txt; \
	done; \
	uv pip compile --quiet --upgrade --generate-hashes --no-header --python-platform linux --python-version 3.13 bench-cryptofeed.in --output-file bench-cryptofeed.txt; \
	uv pip compile --quiet --upgrade --generate-hashes --no-header --python-platform linux --python-version 3.13 clients.in --output-file clients.txt
