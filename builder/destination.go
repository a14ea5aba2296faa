package builder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Destination says where a file that is to be called path will be: where a link leads, since a link is there to stay. What is
// inPlace cannot be replaced by a finished file, only written to: a device, a pipe.
func Destination(path string) (final string, inPlace bool, err error) {
	if final, err = filepath.Abs(path); err != nil {
		return "", false, err
	}
	info, err := os.Stat(final)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if target, err := os.Readlink(final); err == nil { // a link to a file that is not there yet
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(final), target)
			}
			return target, false, nil
		}
		return final, false, nil
	case err != nil:
		return "", false, err
	case info.IsDir():
		return "", false, errors.New("it is a folder, name a file")
	case !info.Mode().IsRegular():
		return final, true, nil
	}
	final, err = filepath.EvalSymlinks(final)
	return final, false, err
}
