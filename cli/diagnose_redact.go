package cli

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// redacted stands where a secret was. It is plain text in YAML, and no rule below finds
// anything in it.
const redacted = "(redacted)"

// Where in doubt a rule takes away too much: what is missing from an archive can be asked
// for, what was given away cannot be taken back.
const (
	// sensitiveEnd is how a name ends whose value is a secret, in any spelling: token,
	// bearer_token, clientSecret, AWS_SECRET_ACCESS_KEY, and the users of a kubeconfig. Names
	// of files and of objects (token-auth-file, secretName) end otherwise.
	sensitiveEnd = `(?:token|password|passwd|passphrase|client[_-]?secret|(?:secret|api|access|private|signing)[_-]?key|_(?:secret|key|credentials?)|client-(?:key|certificate)-data)`
	// quotedOrWord is a value: in quotes, in quotes within quotes, or up to the next space or
	// bracket.
	quotedOrWord = `(?:\\"[^\n]*?\\"|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,;"'{}\[\]()]+)`
	beginKey     = `-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----`
	endKey       = `-----END [A-Z0-9 ]*PRIVATE KEY-----`
)

var (
	// A block whose end is cut off reaches to the end of the text.
	privateKey = regexp.MustCompile(`(?s)` + beginKey + `.*?(?:` + endKey + `|\z)`)
	// A block whose beginning is cut off is the lines before its end that close with base64.
	endOfPrivateKey = regexp.MustCompile(`(?:[^\n]*[A-Za-z0-9+/=]{16,}[ \t]*(?:\\n|\r?\n))*[^\n]*` + endKey)
	lineRules       = []lineRule{
		// Authorization headers: in plain, of JSON, of Go's maps.
		rule(`(?i)(\b(?:proxy-)?authorization\\?["']?[ \t]*[:=][ \t]*)(\(redacted\)|\[[^\]\n]*\]|\\"[^\n]*?\\"|"[^"\n]*"|'[^'\n]*'|[^\n]+)`, "authorization"),
		rule(`(?i)(\bbearer[ \t]+)([a-z0-9._~+/=-]{8,})`, "bearer"),
		// JSON Web Tokens, whole or cut off, signed or encrypted (RFC 7515, 7516): each is
		// base64url of an object, which begins with {".
		rule(`()(eyJ[\w-]{8,}(?:\.[\w-]*){1,4})`, "eyj"),
		// Bootstrap tokens.
		// https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
		rule(`()(\b[a-z0-9]{6}\.[a-z0-9]{16}\b)`, "."),
		// Credentials in URLs.
		rule(`(://)([^/\s:@"']*:[^/\s@"']+)@`, "@"),
		// Flags with their value after a space.
		rule(`(?i)(--[\w-]*(?:token|password|passphrase|secret)[ \t]+)(`+quotedOrWord+`)`, "--"),
		rule(`(?i)(`+sensitiveEnd+`\\?["']?[ \t]*[:=][ \t]*)(`+quotedOrWord+`)`, "token", "pass", "secret", "key", "credential", "-data"),
	}
	// harmless values are kept where a name is sensitive: switches are no secrets.
	harmless     = regexp.MustCompile(`^[<"'\\]*(?:true|false|null|nil|none)?["'\\>]*$`)
	openingQuote = regexp.MustCompile(`^\\?["']`)
	// longBase64 is long enough to hold something that is worth a look.
	longBase64 = regexp.MustCompile(`[A-Za-z0-9+/_-]{32,}={0,2}`)

	sensitiveField = regexp.MustCompile(`(?i)^(?:[\w.-]*` + sensitiveEnd + `|(?:proxy-)?authorization|(?:set-)?cookie)$`)
	// sensitiveVariable is the name of an environment variable, header or argument.
	sensitiveVariable = regexp.MustCompile(`(?i)(?:token|passw|passphrase|secret|credential|api[_-]?key|(?:^|_)key$)`)
	sensitiveFlag     = regexp.MustCompile(`(?i)^--?[\w-]*(?:token|password|passphrase|secret)$`)
)

// lineRule finds secrets in a line. The second group of its pattern is what is taken away.
type lineRule struct {
	pattern *regexp.Regexp
	// hints are in lower case; a line without any of them need not be matched, which is slow.
	hints []string
}

func rule(pattern string, hints ...string) lineRule {
	return lineRule{regexp.MustCompile(pattern), hints}
}

// redactor removes secrets from what is written. It knows what secrets look like, and
// besides some values literally.
type redactor struct{ known *strings.Replacer }

// newRedactor returns a redactor that knows the values of these Secrets too.
func newRedactor(secrets []corev1.Secret) *redactor {
	var known []string
	for i := range secrets {
		for name, value := range secrets[i].Data {
			known = append(known, spellings(name, value)...)
		}
	}
	// The whole comes before its parts.
	slices.SortFunc(known, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	var pairs []string
	for _, text := range slices.Compact(known) {
		pairs = append(pairs, text, redacted)
	}
	return &redactor{known: strings.NewReplacer(pairs...)}
}

// shortestKnown is the length in bytes from which a value of a Secret is looked for
// literally: shorter ones ("true", a name) occur by chance.
const shortestKnown = 16

// spellings are the forms in which a value of a Secret could turn up: as it is, within
// JSON, in base64, and its parts that are secret by themselves. Certificates and public
// keys have none, nor has the namespace that is in a service account's Secret.
func spellings(name string, value []byte) []string {
	var found []string
	add := func(value []byte) {
		trimmed := bytes.TrimSpace(value)
		if len(trimmed) < shortestKnown {
			return
		}
		quoted, _ := json.Marshal(string(trimmed)) // a string can always be marshalled
		found = append(found, string(trimmed), string(quoted[1:len(quoted)-1]),
			base64.StdEncoding.EncodeToString(trimmed), base64.StdEncoding.EncodeToString(value))
	}
	switch config, err := clientcmd.Load(value); {
	case name == corev1.ServiceAccountNamespaceKey || isPublicPEM(value):
		return nil
	case err == nil && len(config.AuthInfos) > 0:
		for _, user := range config.AuthInfos {
			add([]byte(user.Token))
			add([]byte(user.Password))
			add(user.ClientKeyData)
			found = append(found, spellings("", user.ClientKeyData)...)
		}
	}
	add(value)
	for block, rest := pem.Decode(value); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			found = append(found, base64.StdEncoding.EncodeToString(block.Bytes))
			for line := range strings.Lines(string(pem.EncodeToMemory(block))) {
				if !strings.HasPrefix(line, "-----") {
					add([]byte(line))
				}
			}
		}
	}
	return found
}

// isPublicPEM says whether a value consists of certificates and public keys alone.
func isPublicPEM(value []byte) bool {
	block, rest := pem.Decode(value)
	if block == nil {
		return false
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "PUBLIC KEY" {
			return false
		}
	}
	return len(bytes.TrimSpace(rest)) == 0
}

// deepest is how often base64 within base64 is followed.
const deepest = 3

// text removes secrets from a text of any kind: a log, a table, YAML.
func (r *redactor) text(text string) string { return r.textAt(text, 0) }

func (r *redactor) textAt(text string, depth int) string {
	if strings.Contains(text, "PRIVATE KEY-----") {
		text = privateKey.ReplaceAllString(text, redacted)
		text = endOfPrivateKey.ReplaceAllString(text, redacted)
	}
	text = r.known.Replace(text)
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(r.line(line, depth))
	}
	return out.String()
}

func (r *redactor) line(line string, depth int) string {
	lower := strings.ToLower(line)
	for _, rule := range lineRules {
		if slices.ContainsFunc(rule.hints, func(hint string) bool { return strings.Contains(lower, hint) }) {
			line = replaceSecond(rule.pattern, line)
		}
	}
	if depth == deepest {
		return line
	}
	return longBase64.ReplaceAllStringFunc(line, func(run string) string {
		if r.hides(run, depth) {
			return redacted
		}
		return run
	})
}

// hides says whether base64 holds a private key, or a text with a secret in it.
func (r *redactor) hides(run string, depth int) bool {
	run = strings.TrimRight(run, "=")
	if len(run)%4 == 1 { // cut off within a byte
		run = run[:len(run)-1]
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		decoded, err := encoding.DecodeString(run)
		if err != nil {
			continue
		}
		if isPrivateDER(decoded) {
			return true
		}
		if text := string(decoded); isText(text) && r.textAt(text, depth+1) != text {
			return true
		}
	}
	return false
}

func isPrivateDER(der []byte) bool {
	if len(der) == 0 || der[0] != 0x30 { // an ASN.1 sequence, as every key is
		return false
	}
	if _, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return true
	}
	if _, err := x509.ParseECPrivateKey(der); err == nil {
		return true
	}
	_, err := x509.ParsePKCS1PrivateKey(der)
	return err == nil
}

func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && !unicode.IsSpace(r) })
}

// replaceSecond takes away the second group of each match, unless it is harmless.
func replaceSecond(rule *regexp.Regexp, text string) string {
	var out strings.Builder
	end := 0
	for _, at := range rule.FindAllStringSubmatchIndex(text, -1) {
		from, to := at[4], at[5]
		value := text[from:to]
		if harmless.MatchString(value) || strings.Trim(value, `\"'[]`) == redacted {
			continue
		}
		// Its quotes stay, so that JSON stays JSON.
		quote := openingQuote.FindString(value)
		if !strings.HasSuffix(value, quote) {
			quote = ""
		}
		out.WriteString(text[end:from] + quote + redacted + quote)
		end = to
	}
	out.WriteString(text[end:])
	return out.String()
}

// object returns a copy of a decoded object without secrets. It sees what a text does not
// show any more: strings before they are folded, and which name belongs to which value.
func (r *redactor) object(value any) any {
	switch value := value.(type) {
	case map[string]any:
		return r.fields(value)
	case []any:
		list := make([]any, len(value))
		for i, item := range value {
			list[i] = r.object(item)
			if previous, ok := at(value, i-1).(string); ok && sensitiveFlag.MatchString(previous) {
				list[i] = redacted
			}
		}
		return list
	case string:
		return r.text(value)
	default:
		return value
	}
}

func at(list []any, i int) any {
	if i < 0 {
		return nil
	}
	return list[i]
}

func (r *redactor) fields(fields map[string]any) map[string]any {
	copied := make(map[string]any, len(fields))
	isSecret := fields["kind"] == "Secret"
	name, _ := fields["name"].(string)
	for key, value := range fields {
		text, isString := value.(string)
		switch {
		case isSecret && (key == "data" || key == "stringData"):
			copied[key] = redacted
		case isString && sensitiveField.MatchString(key) && !harmless.MatchString(text),
			// An environment variable, a header, an argument.
			isString && key == "value" && sensitiveVariable.MatchString(name) && !harmless.MatchString(text):
			copied[key] = redacted
		default:
			copied[key] = r.object(value)
		}
	}
	return copied
}
