package main

import "github.com/datalayer/conda2docker/conda"

// hints say, where there is no solution, how the flags change what the target is taken to have. The lock command needs no base.
func hints(virtual []conda.VirtualPackage, locks bool) map[conda.PackageName]string {
	out := map[conda.PackageName]string{
		"__cuda":      "build with --accelerator cuda",
		"__glibc":     "choose another base with --base",
		"__archspec":  "say with --archspec which processors it is for",
		"__cuda_arch": "say with --cuda-arch which GPU it is for",
	}
	if locks {
		out["__cuda"] = "say with --cuda which VERSION the driver will support"
		out["__glibc"] = "say with --glibc which VERSION the image will have, or with --base what it will be built on"
	}
	for _, v := range virtual {
		if v.Name == "__cuda" {
			out["__cuda"] = "pass another --cuda VERSION"
		}
	}
	return out
}
