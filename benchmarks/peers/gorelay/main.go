// gorelay is the reference for Tokenfall's chat: it relays POST /chat to an OpenAI-compatible upstream and sends every
// token as `data: {"content":"..."}`. Written in idiomatic Go with the standard library only. It
// listens on 127.0.0.1 at $PORT (4200 unless set); $UPSTREAM_URL is the upstream's base URL, such as
// http://127.0.0.1:4300/v1.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

const maxBody = 1 << 20

var (
	dataField = []byte("data: ")
	done      = []byte("[DONE]")
)

type chatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type completionRequest struct {
	Model    string        `json:"model"`
	Messages []chatMessage `json:"messages"`
	Stream   bool          `json:"stream"`
}

type completionChunk struct {
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
		} `json:"delta"`
	} `json:"choices"`
}

type delta struct {
	Content string `json:"content"`
}

type relay struct {
	completions string
	client      *http.Client
}

// send sends the request to the upstream; the caller closes the response.
func (rl relay) send(ctx context.Context, messages []chatMessage) (io.ReadCloser, error) {
	body, err := json.Marshal(completionRequest{"llama-3.3-70b-versatile", messages, true})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, rl.completions, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := rl.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("upstream responded with %s", response.Status)
	}
	return response.Body, nil
}

// appendFrame appends the frame for one line of the upstream, if it has one; last reports
// that the response is over.
func appendFrame(frame, line []byte) (_ []byte, last bool) {
	if !bytes.HasPrefix(line, dataField) {
		return frame, false
	}
	payload := line[len(dataField):]
	if bytes.Equal(payload, done) {
		return append(frame, "data: [DONE]\n\n"...), true
	}
	var chunk completionChunk
	if err := json.Unmarshal(payload, &chunk); err != nil || len(chunk.Choices) == 0 {
		return frame, false
	}
	text := chunk.Choices[0].Delta.Content
	if text == "" {
		return frame, false
	}
	event, err := json.Marshal(delta{text})
	if err != nil {
		return frame, false
	}
	frame = append(frame, dataField...)
	frame = append(frame, event...)
	return append(frame, "\n\n"...), false
}

func (rl relay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Messages []chatMessage `json:"messages"`
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&body)
	if err != nil || len(body.Messages) == 0 {
		http.Error(w, `the body must be {"messages": [...]}`, http.StatusBadRequest)
		return
	}
	response, err := rl.send(r.Context(), body.Messages)
	if err != nil {
		log.Print(err)
		http.Error(w, "the upstream did not respond", http.StatusBadGateway)
		return
	}
	defer response.Close()
	out := w.(http.Flusher)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	var frame []byte
	var last bool
	for lines := bufio.NewScanner(response); lines.Scan() && !last; {
		frame, last = appendFrame(frame[:0], lines.Bytes())
		if len(frame) == 0 {
			continue
		}
		if _, err := w.Write(frame); err != nil {
			return
		}
		out.Flush()
	}
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "4200"
	}
	pool := http.DefaultTransport.(*http.Transport).Clone()
	pool.MaxIdleConns, pool.MaxIdleConnsPerHost = 0, 1024
	routes := http.NewServeMux()
	routes.Handle("/chat", relay{os.Getenv("UPSTREAM_URL") + "/chat/completions", &http.Client{Transport: pool}})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, routes))
}
