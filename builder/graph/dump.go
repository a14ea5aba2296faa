package graph

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// Dump writes the graph for people: a line for each operation, with its inputs as the numbers of earlier lines, so
// that a change shows in the line it is in and nowhere else.
func (g *Graph) Dump(w io.Writer) error {
	numbers := map[string]int{}
	for i, raw := range g.Definition.Def {
		var op pb.Op
		if err := op.UnmarshalVT(raw); err != nil {
			return fmt.Errorf("reading the build graph: %w", err)
		}
		d := digest.FromBytes(raw)
		numbers[d.String()] = i + 1
		inputs := make([]string, 0, len(op.Inputs))
		for _, in := range op.Inputs {
			inputs = append(inputs, fmt.Sprint(numbers[in.Digest]))
		}
		line := strings.Join(slices.DeleteFunc([]string{
			fmt.Sprint(i + 1), verb(&op), strings.Join(inputs, ","), detail(&op, inputs), name(g.Definition, d),
		}, func(s string) bool { return s == "" }), " ")
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

func verb(op *pb.Op) string {
	switch op.Op.(type) {
	case *pb.Op_Source:
		return "source"
	case *pb.Op_Merge:
		return "merge"
	case *pb.Op_Exec:
		return "exec"
	case *pb.Op_File:
		return "file"
	case nil:
		return "return"
	}
	return fmt.Sprintf("%T", op.Op)
}

func detail(op *pb.Op, inputs []string) string {
	switch o := op.Op.(type) {
	case *pb.Op_Source:
		parts := []string{o.Source.Identifier}
		for _, k := range slices.Sorted(maps.Keys(o.Source.Attrs)) {
			parts = append(parts, k+"="+o.Source.Attrs[k])
		}
		return strings.Join(parts, " ")
	case *pb.Op_Exec:
		return execDetail(o.Exec, inputs)
	case *pb.Op_File:
		return fileDetail(o.File)
	}
	return ""
}

func execDetail(e *pb.ExecOp, inputs []string) string {
	parts := []string{fmt.Sprintf("%q", e.Meta.Args)}
	parts = append(parts, e.Meta.Env...)
	parts = append(parts, "dir="+e.Meta.Cwd, "user="+e.Meta.User, "network="+strings.ToLower(e.Network.String()))
	if e.Meta.Hostname != "" {
		parts = append(parts, "hostname="+e.Meta.Hostname)
	}
	for _, m := range e.Mounts {
		if m.Dest == "/" {
			if m.Readonly {
				parts = append(parts, "read-only")
			}
			continue
		}
		s := strings.ToLower(m.MountType.String()) + ":" + m.Dest
		switch m.MountType {
		case pb.MountType_BIND:
			s += fmt.Sprintf("(%s of %s)", m.Selector, inputs[m.Input])
		case pb.MountType_SECRET:
			s += fmt.Sprintf("(id %s, %o, %d:%d)", m.SecretOpt.ID, m.SecretOpt.Mode, m.SecretOpt.Uid, m.SecretOpt.Gid)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}

func fileDetail(f *pb.FileOp) string {
	var parts []string
	for _, a := range f.Actions {
		if m := a.GetMkfile(); m != nil {
			parts = append(parts, fmt.Sprintf("mkfile %s %o %d bytes", m.Path, m.Mode, len(m.Data)))
		}
		if m := a.GetMkdir(); m != nil {
			parts = append(parts, fmt.Sprintf("mkdir %s %o", m.Path, m.Mode))
		}
	}
	return strings.Join(parts, " ")
}

func name(def *llb.Definition, d digest.Digest) string {
	if n := def.Metadata[d].Description["llb.customname"]; n != "" {
		return fmt.Sprintf("# %s", n)
	}
	return ""
}
