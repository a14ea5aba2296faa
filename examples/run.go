package main
import "context"
func runExamples(ctx context.Context, o options) error { return nil }
func clean(o options) error { return nil }
