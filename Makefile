# Each target runs the steps of .ci/run that go by its name; .ci/run says what
# they are. Only bench is no step: its figures need a quiet machine. It compares
# the micro benchmarks of the work tree with those of the last commit.
.PHONY: build test race lint fuzz bench ci

build: ; bash .ci/run build
test: ; bash .ci/run test
race: ; bash .ci/run race
lint: ; bash .ci/run fmt vet lint tidy
fuzz: ; bash .ci/run fuzz
bench: ; bash bench/micro.sh
ci: ; bash .ci/run
