# Targets for developers; `make check` before every commit.

STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 30s
CYCLES      ?= 200
BENCHTIME   ?= 1s

.PHONY: check test race fmt fmt-check vet lint words fuzz torture bench peers nested modules

check: fmt-check vet lint words test

test:
	go test ./...

# The packages in which goroutines meet. The journal's protocol runs on heap memory here.
race:
	go test -race ./...

fmt:
	gofmt -w .

fmt-check:
	@out="$$(gofmt -l .)"; if [ -n "$$out" ]; then echo "not gofmt-ed:"; echo "$$out"; exit 1; fi

vet:
	go vet ./...

lint:
	go run $(STATICCHECK) ./...

# Paths of one machine and leftovers have no place in the repository.
words:
	@if git grep -nE '(^|[^a-z])/(work|root|home)/[a-z]|TODO|FIXME|XXX' -- . ':!Makefile' ':!LICENSE'; then \
		echo "words: machine paths or leftovers"; exit 1; fi

# The demo built so that it kills itself at named places (internal/failpoint): each of them once.
.PHONY: failpoint
failpoint:
	go vet -tags headrace_failpoint ./cmd/demo ./internal/failpoint
	go test -count=1 -tags headrace_failpoint -run '^TestTorture_Shop$$' ./cmd/demo

# Every fuzz target of every package, FUZZTIME each. Go 1.26 now and then calls a target failed whose time is
# over, "context deadline exceeded" and no input (go.dev/issue/75804): it is then run again, twice at most.
fuzz:
	@out="$$(mktemp)"; trap 'rm -f "$$out"' EXIT; \
	for pkg in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			for try in 1 2 3; do \
				echo "fuzz $$pkg $$f"; \
				go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg >"$$out" 2>&1 && break; \
				[ $$try -lt 3 ] && grep -q '^ *context deadline exceeded$$' "$$out" && \
					! grep -qiE 'failing input|panic|_test\.go:' "$$out" || { cat "$$out"; exit 1; }; \
			done; \
			tail -n 1 "$$out"; \
		done; \
	done

# Kill -9 campaigns of the demo in every durability mode and of its shop by both sagas
# (cmd/demo/TORTURE.md), the long tests of the packages, and the journal's torture suite
# (journal/TORTURE.md); HEADRACE_SOAK says how long its soak runs, 1h unless it is set. What needs root
# and loop devices skips without.
torture:
	go build -o bin/demo ./cmd/demo
	@for mode in none interval group batch; do \
		dir="$$(mktemp -d)"; echo "torture $$mode"; \
		bin/demo torture --dir "$$dir" --cycles $(CYCLES) --durability $$mode || exit 1; rm -rf "$$dir"; \
	done
	go build -tags headrace_failpoint -o bin/demo-failpoint ./cmd/demo
	@for saga in choreography orchestration; do \
		dir="$$(mktemp -d)"; echo "torture shop $$saga"; \
		bin/demo-failpoint torture --shop --saga $$saga --dir "$$dir" --cycles $(CYCLES) || exit 1; rm -rf "$$dir"; \
	done
	HEADRACE_LONG=1 go test -timeout 60m -skip '^TestTorture_' ./ring ./journal ./handlers ./cmd/demo .
	HEADRACE_LONG=1 go test -timeout 6h -v -run '^TestTorture_' ./journal

bench:
	go test -run '^$$' -bench . -benchtime $(BENCHTIME) ./bench

peers:
	cd bench/peers && go run .

# Directories of nested modules, one a line.
modules:
	@find . -mindepth 2 -name go.mod -not -path './.git/*' -exec dirname {} \;

nested:
	@for dir in $$($(MAKE) -s modules); do \
		echo "module $$dir"; \
		(cd $$dir && go vet ./... && go test ./... && go run $(STATICCHECK) ./...) || exit 1; \
	done

# The ring's algorithm in Spin; skips where spin is not installed.
.PHONY: model
model:
	ring/model/run

# Breaks packages on purpose and tells whether their tests notice; see go doc ./internal/mutate.
# A package takes part by having a file mutations.txt.
.PHONY: mutate
mutate:
	go run ./internal/mutate . $(patsubst %/mutations.txt,%,$(wildcard */mutations.txt cmd/*/mutations.txt))

# The ring's own code under the schedule explorer: short, or for about half an hour.
.PHONY: explore explore-short
explore-short:
	go test ./internal/explore
	go test -tags headrace_explore ./internal/atomic
	go test -tags headrace_explore -run '^TestExplore' ./ring
explore:
	HEADRACE_LONG=1 go test -timeout 120m -v ./internal/explore
	HEADRACE_LONG=1 go test -tags headrace_explore -timeout 120m -v -run '^TestExplore' ./ring
