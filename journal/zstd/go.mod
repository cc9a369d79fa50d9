module github.com/headrace/headrace/journal/zstd

go 1.26.0

require (
	github.com/headrace/headrace v0.0.0
	github.com/klauspost/compress v1.20.4
)

require golang.org/x/sys v0.49.0 // indirect

replace github.com/headrace/headrace => ../..
