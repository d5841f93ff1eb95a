package blob

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	awsEndpoint = "https://s3.amazonaws.com"
	// s3Tries are made of each request, within a few seconds: more is the breaker's to do.
	s3Tries       = 4
	s3Dial        = 5 * time.Second
	s3Answer      = 15 * time.Second // for the beginning of an answer
	s3Idle        = time.Minute
	s3Conns       = 64              // idle connections that are kept
	metadataLimit = 5 * time.Second // of a question to the machine's own service for credentials
)

// OpenS3 opens the blob store that s3://bucket/prefix?endpoint=URL&region=NAME names; without an
// endpoint it is AWS. A prefix with nothing below it becomes a new blob store; one that holds
// objects but no marker is refused. Credentials come from AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY, else from AWS's file of credentials, else from the machine's role.
func OpenS3(ctx context.Context, setting string) (*S3, error) {
	at, err := parseS3(setting)
	if err != nil {
		return nil, err
	}
	s := &S3{bucket: at.bucket, prefix: at.prefix, http: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: s3Dial}).DialContext, TLSHandshakeTimeout: s3Dial,
		ResponseHeaderTimeout: s3Answer, IdleConnTimeout: s3Idle, MaxIdleConns: s3Conns, MaxIdleConnsPerHost: s3Conns,
		ForceAttemptHTTP2: true, DisableCompression: true,
	}}
	s.core, err = minio.NewCore(at.endpoint.Host, &minio.Options{
		Creds: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{},
			&credentials.IAM{Client: &http.Client{Transport: s.http, Timeout: metadataLimit}},
		}),
		Secure: at.endpoint.Scheme == "https", Region: at.region, Transport: s, MaxRetries: s3Tries,
	})
	if err != nil {
		return nil, fmt.Errorf("blob store in S3: %w", err)
	}
	m, err := s.ensureMarker(ctx)
	if err != nil {
		s.http.CloseIdleConnections()
		return nil, s.explain("bucket "+s.bucket, err)
	}
	s.id = m.ID
	return s, nil
}

// s3Address is what a setting names.
type s3Address struct {
	bucket, prefix, region string
	endpoint               *url.URL
}

const s3Form = "a blob store in S3 is written s3://bucket/prefix?endpoint=https://host&region=name"

func parseS3(setting string) (s3Address, error) {
	u, err := url.Parse(setting)
	if err != nil {
		return s3Address{}, errors.New(s3Form)
	}
	q := u.Query()
	if u.User != nil || q.Has("key") || q.Has("secret") {
		return s3Address{}, errors.New("credentials of a blob store in S3 go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, not into its URL")
	}
	at := s3Address{bucket: u.Host, region: q.Get("region")}
	if at.prefix = strings.Trim(u.Path, "/"); at.prefix != "" {
		at.prefix += "/"
	}
	endpoint := q.Get("endpoint")
	if endpoint == "" {
		endpoint = awsEndpoint
	}
	q.Del("region")
	q.Del("endpoint")
	at.endpoint, err = url.Parse(endpoint)
	wrong := err != nil || at.endpoint.Host == "" || at.endpoint.User != nil || strings.Trim(at.endpoint.Path, "/") != "" ||
		at.endpoint.Scheme != "https" && at.endpoint.Scheme != "http"
	if wrong || at.bucket == "" || len(q) > 0 || u.Fragment != "" {
		return s3Address{}, errors.New(s3Form)
	}
	return at, nil
}

// explain gives an S3 server's refusal as a sentence that says what to do. What it is about, an
// object's name, is not repeated.
func (s *S3) explain(what string, err error) error {
	var refused minio.ErrorResponse
	if !errors.As(err, &refused) {
		if unreachable, ok := errors.AsType[*url.Error](err); ok {
			return fmt.Errorf("%s: the S3 server cannot be reached: %w", what, unreachable.Err)
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	advice := "the S3 server refuses"
	switch refused.Code {
	case minio.NoSuchBucket:
		advice = "bucket " + s.bucket + " does not exist: make it, or correct VOUCHERD_STORE"
	case minio.AccessDenied:
		advice = "access denied: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they may list, read, write and delete there"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch":
		advice = "unknown credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	case "RequestTimeTooSkewed":
		advice = "this host's clock is off: set it by NTP"
	case "AuthorizationHeaderMalformed", "PermanentRedirect", minio.InvalidRegion:
		advice = "the bucket lies in another region: add region= to VOUCHERD_STORE"
	}
	return fmt.Errorf("%s: %s (%s, status %d)", what, advice, refused.Code, refused.StatusCode)
}
