module scenario

go 1.25.0

require (
	github.com/aquasecurity/libbpfgo v0.4.5-libbpf-1.0.1
	golang.org/x/sys v0.43.0
)
