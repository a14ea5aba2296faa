package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// errSilent ends requests whose server has stopped talking.
var errSilent = errors.New("the server has stopped sending")

// watched is a body whose silence is bounded.
type watched struct {
	io.ReadCloser
	ctx     context.Context //nolint:containedctx // the request's, for the cause of its end
	timer   *time.Timer
	timeout time.Duration
	stop    func()
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.ReadCloser.Read(b)
	w.timer.Reset(w.timeout)
	if err != nil && !errors.Is(err, io.EOF) {
		err = causeOf(w.ctx, err)
	}
	return n, err
}

func (w *watched) Close() error {
	w.stop()
	return w.ReadCloser.Close()
}

// causeOf is err or, where ctx has ended, why it has.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// limited is a body that is an error once it is too long.
type limited struct {
	body        io.ReadCloser
	left, limit int64
}

func (l *limited) Read(b []byte) (int, error) {
	if int64(len(b)) > l.left+1 {
		b = b[:l.left+1]
	}
	n, err := l.body.Read(b)
	if l.left -= int64(n); l.left < 0 {
		return n, &tooLongError{l.limit}
	}
	return n, err
}

func (l *limited) Close() error { return l.body.Close() }

// tooLongError is a body that does not end where it should have.
type tooLongError struct{ limit int64 }

func (e *tooLongError) Error() string {
	return fmt.Sprintf("the answer is longer than the %d bytes that are allowed", e.limit)
}

// localError is a failure of this machine, which no other server can help.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

// localWriter marks a file's errors as local.
type localWriter struct{ *os.File }

func (w localWriter) Write(b []byte) (int, error) {
	n, err := w.File.Write(b)
	if err != nil {
		err = &localError{err}
	}
	return n, err
}
