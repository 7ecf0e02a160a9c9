module scenario

go 1.25.0

require (
	github.com/aquasecurity/libbpfgo v0.5.1-libbpf-1.2
	golang.org/x/sys v0.43.0
)
