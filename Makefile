.PHONY: deps
deps:
	@tools/deps
