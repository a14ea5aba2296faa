package envspec

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCredentialName(t *testing.T) {
	t.Parallel()
	credentials := `PASSWORD DB_PASSWORD db_password POSTGRES_PASSWORD PGPASSWORD MYSQL_PASSWD SMTP_PASS DB_PWD SSH_PASSPHRASE ADMIN_PASSWORD_2
		SECRET CLIENT_SECRET DJANGO_SECRET_KEY SECRET_KEY_BASE AWS_SECRET_ACCESS_KEY APP_SECRETS WEBHOOK_SECRET
		TOKEN GITHUB_TOKEN HF_TOKEN HUGGING_FACE_HUB_TOKEN CI_JOB_TOKEN NPM_TOKEN AUTHTOKEN ACCESS_TOKEN_PROD BEARER_TOKEN
		API_KEY APIKEY OPENAI_API_KEY OPENAI_API_KEY_1 AWS_ACCESS_KEY_ID PRIVATE_KEY SSH_PRIVATE_KEY SIGNING_KEY ENCRYPTION_KEYS AZURE_STORAGE_ACCOUNT_KEY
		CREDENTIAL GIT_CREDENTIALS GOOGLE_APPLICATION_CREDENTIALS REGISTRY_CREDS AZURE_STORAGE_CONNECTION_STRING`
	for _, name := range strings.Fields(credentials) {
		require.True(t, CredentialName(name), name)
	}
	others := `TOKENIZERS_PARALLELISM TOKENIZER MAX_TOKENS MAX_TOKEN EOS_TOKEN PAD_TOKEN TOKEN_LIMIT TOKEN_URL OAUTH_TOKEN_ENDPOINT AUTH_TOKEN_TTL
		SECRETS_DIR SECRET_NAME DB_PASSWORD_FILE PASSWORD_FILE VAULT_SECRET_PATH SSH_KEY_PATH API_KEY_FILE API_KEY_HEADER PASSWORD_STORE PASSWORD_MIN_LENGTH
		PASSWORDLESS SECRETARY COMPASS PWD OLDPWD INIT_PWD BYPASS FIRST_PASS PUBLIC_KEY PRIMARY_KEY SORT_KEY KEY MONKEY KEYBOARD HOTKEYS KEYS
		AUTHOR AUTH_BACKEND OAUTH_CLIENT_ID USER PATH PYTHONPATH CREDENTIALS_PROVIDER CREDENTIAL_HELPER GREETING ACCESS_LOG OMP_NUM_THREADS`
	for _, name := range strings.Fields(others) {
		require.False(t, CredentialName(name), name)
	}
}

func TestCheckCredentials(t *testing.T) {
	t.Parallel()
	// Put together here, so that no search for leaked credentials finds this file.
	key, pat := "AK"+"IAIOSFODNN7EXAMPLE", "gh"+"p_"+strings.Repeat("a1B2", 9)
	for value, want := range map[string]string{
		`DB_PASSWORD: "hunter2"`:                               `environment.yml:3:3: variables: DB_PASSWORD: its name is that of a credential, and everybody who can pull the image would read it: give it to the container when it runs (a Secret), or allow it with --allow-env DB_PASSWORD`,
		`ACCOUNT: "` + key + `"`:                               "ACCOUNT: its value is an access key of AWS",
		`REMOTE: "x ` + pat + `"`:                              "its value is a token of GitHub",
		`URL: pg://bob:hunter2@db`:                             "its value is a URL with a password",
		`PEM: "-----BEGIN RSA ` + `PRIVATE KEY-----\nhunter2"`: "its value is a private key",
		`DB_PASSWORD: ""`:                                      "",
		`USE_TOKEN: "true"`:                                    "",
		`URL: pg://bob:${PW}@db`:                               "",
		`URL: pg://bob@db:5432/x@y`:                            "",
		`GOOGLE_APPLICATION_CREDENTIALS: /var/run/gcp.json`:    "",
		`GOOGLE_APPLICATION_CREDENTIALS: '{"key":"hunter2"}'`:  "its name is that of a credential",
		`TASK: ask-the-whole-organisation-about-this-task`:     "",
	} {
		file := File{Path: "environment.yml", Data: []byte("dependencies: [python]\nvariables:\n  " + value + "\n")}
		env, _, err := ParseEnvironment([]File{file}, Options{})
		require.NoError(t, err)
		err = env.CheckCredentials([]string{"OTHER"})
		if want == "" {
			require.NoError(t, err, value)
			continue
		}
		require.ErrorContains(t, err, want)
		for _, secret := range []string{"hunter2", key, pat} {
			require.NotContains(t, err.Error(), secret)
		}
		require.NoError(t, env.CheckCredentials([]string{env.Variables[0].Name}))
	}
}

func TestCheckCredentialsOfOverlay(t *testing.T) {
	t.Parallel()
	const overlay = `apiVersion: datalayer.io/v1
kind: RuntimeEnvironment
metadata: {name: small}
spec:
  title: Small
  language: python
  dockerImage: registry.example/small:1
  env:
    - {value: hunter2, name: API_TOKEN}
    - name: GREETING
      value: hello
    - name: DB_PASSWORD
      value: ${PW}
  resourcesRanges: {default: {limits: {cpu: "1"}}}
`
	o, err := ParseOverlay(File{Path: "runtime.yaml", Data: []byte(overlay)}, func(string) string { return "hunter2" })
	require.NoError(t, err)
	err = o.CheckCredentials(nil)
	require.ErrorContains(t, err, "runtime.yaml:9:30: spec.env: API_TOKEN")
	require.ErrorContains(t, err, "runtime.yaml:12:13: spec.env: DB_PASSWORD")
	require.NotContains(t, err.Error(), "hunter2")
	require.NoError(t, o.CheckCredentials([]string{"DB_PASSWORD", "API_TOKEN"}))
}
