//go:build !linux

package largepages

// Ask does nothing: only Linux is asked.
func Ask() {}
