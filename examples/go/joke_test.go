package joke

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// weir is where the weir of this test run listens.
var weir string

func TestMain(m *testing.M) {
	binary := os.Getenv("WEIR_BINARY")
	if binary == "" {
		binary = "weir"
	}
	command := exec.Command(binary, "serve", "--until-stdin-ends", "--port=0",
		"--set=ops.journal=bodies", "--set=ops.log=off", "--set=mock.delay_ms=0")
	// It ends with this process, however that ends: its input is a pipe.
	if _, err := command.StdinPipe(); err != nil {
		panic(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		panic(err)
	}
	if err := command.Start(); err != nil {
		panic(err)
	}
	line, _ := bufio.NewReader(output).ReadString('\n')
	place := regexp.MustCompile(`listens on (http\S+)`).FindStringSubmatch(line)
	if place == nil {
		panic("weir did not start: " + line)
	}
	weir = place[1]
	code := m.Run()
	command.Process.Kill()
	os.Exit(code)
}

// post sends body as JSON in the session of a test, and gives the status and the answer.
func post(t *testing.T, path string, body any) (int, string) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest("POST", weir+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("content-type", "application/json")
	request.Header.Set("x-weir-session", t.Name())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// admin asks weir itself.
func admin(t *testing.T, path string, body any) {
	t.Helper()
	if status, answer := post(t, "/__weir"+path, body); status >= 300 {
		t.Fatalf("%s: %d %s", path, status, answer)
	}
}

type object map[string]any

// joke is the program under test.
func joke(t *testing.T) (string, error) {
	messages := []object{{"role": "user", "content": "Tell me a joke"}}
	status, answer := post(t, "/v1/chat/completions", object{"model": "gpt-4o", "messages": messages})
	if status != 200 {
		return "", fmt.Errorf("no joke today: %d", status)
	}
	var told struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if err := json.Unmarshal([]byte(answer), &told); err != nil {
		return "", err
	}
	return told.Choices[0].Message.Content, nil
}

func TestJoke(t *testing.T) {
	t.Parallel()
	match := object{"userMessage": "joke"}
	admin(t, "/fixtures", object{"fixtures": []object{
		{"match": match, "response": object{"content": "Knock, knock."}},
	}})
	if text, err := joke(t); err != nil || text != "Knock, knock." {
		t.Errorf("the joke is %q (%v)", text, err)
	}
	admin(t, "/verify", object{"match": match, "times": 1})
}

func TestNoJoke(t *testing.T) {
	t.Parallel()
	admin(t, "/next", object{"response": object{"error": object{"message": "away"}, "status": 503}})
	if text, err := joke(t); err == nil {
		t.Errorf("there is a joke: %q", text)
	}
}
