package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/datalayer/conda2docker/conda/fetch/oci"
)

// maxWait bounds the pause before a repetition; a server that asks for more is not waited for.
const maxWait = time.Minute

// attempt tries the places of a file in order until one succeeds. Where all fail and some only in passing, these are
// tried again after a pause.
func (c *Client) attempt(ctx context.Context, rawURL string, try func(place) error) error {
	places, err := c.places(rawURL)
	if err != nil {
		return err
	}
	var worst error
	pause := c.o.Backoff
	for round := 0; ; round++ {
		var again []place
		wait := pause
		for _, p := range places {
			err := try(p)
			if err == nil {
				return nil
			}
			var local *localError
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case errors.As(err, &local), errors.Is(err, ErrOffline):
				return err
			}
			worst = moreTelling(worst, err)
			if passing(err) {
				again = append(again, p)
				wait = max(wait, asked(err))
			}
		}
		if len(again) == 0 || round >= c.o.Retries || wait > maxWait {
			return worst
		}
		c.o.Retrying(worst, wait)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		places, pause = again, min(2*pause, maxWait)
	}
}

// moreTelling chooses the error that is reported when several places have failed: that a mirror lacks the file says
// less than that another one is broken, and a wrong file says most.
func moreTelling(old, err error) error {
	var sum *ChecksumError
	if old != nil && (NotFound(err) || errors.As(old, &sum)) {
		return old
	}
	return err
}

// passing reports whether the same request may succeed later.
func passing(err error) bool {
	var (
		status *StatusError
		sum    *ChecksumError
		long   *tooLongError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		dns    *net.DNSError
		named  *oci.NameError
	)
	switch {
	case errors.As(err, &status):
		switch s := status.Status; s {
		case http.StatusRequestTimeout, http.StatusTooManyRequests:
			return true
		case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
			return false
		default:
			return s >= 500
		}
	case errors.As(err, &sum), errors.As(err, &long), errors.As(err, &cert), errors.As(err, &record), errors.As(err, &named),
		errors.Is(err, errRedirect):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	}
	return true
}

// asked is how long a server wants to be left alone.
func asked(err error) time.Duration {
	var status *StatusError
	if errors.As(err, &status) {
		return status.retryAfter
	}
	return 0
}

// retryAfter reads a Retry-After header field: seconds, or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return time.Duration(min(n, 1<<20)) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
