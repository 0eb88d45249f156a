# Each target runs the steps of .ci/run that go by its name; .ci/run says what
# they are. Only bench is no step: its figures need a quiet machine.
.PHONY: build test race lint fuzz bench ci

build: ; bash .ci/run build
test: ; bash .ci/run test
race: ; bash .ci/run race
lint: ; bash .ci/run fmt vet lint tidy
fuzz: ; bash .ci/run fuzz
bench: ; go test -run '^$$' -bench . -benchmem ./...
ci: ; bash .ci/run
