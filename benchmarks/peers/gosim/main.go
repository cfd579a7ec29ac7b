// gosim is the reference for Tokenfall's simulator: the same routes in idiomatic Go with the standard library only.
// Frames are encoded once; a stream is a goroutine with a ticker, and a token is one Write and one Flush. It listens on 127.0.0.1, at $PORT (4100 unless set).
//
//	GET /stream-sse     a paragraph as SSE, a word every 100 ms, then {"finish":true}
//	GET /stream-ndjson  the same, as lines of JSON
//	GET /stream-loop    words as SSE, one every 200 ms, endless
//	GET /api/data       one JSON document
//	GET /health         OK
//
// The streams take ?gap=20ms.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

const prose = "Water that falls in drops tells more about the tap than water that stands in a glass. So it is with " +
	"an answer that comes a word at a time: how long until the first, how even the rest, and whether the last was " +
	"really the last. This text is cut into words when the program starts and is never touched again. All that a " +
	"reader costs from then on is a timer that rings, a handful of bytes handed to the kernel, and the wait until " +
	"the timer rings once more."

type token struct {
	Content string `json:"content"`
	Finish  bool   `json:"finish"`
}

type document struct {
	ID      string  `json:"id"`
	Type    string  `json:"type"`
	Message string  `json:"message"`
	Items   []token `json:"items"`
}

// script is a stream to play: its frames and the time between two of them.
type script struct {
	mediaType string
	frames    [][]byte
	gap       time.Duration
	endless   bool
}

func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		log.Fatal(err)
	}
	return string(text)
}

func framesOf(items []string, before, after string) [][]byte {
	frames := make([][]byte, len(items))
	for i, item := range items {
		frames[i] = []byte(before + item + after)
	}
	return frames
}

func (s script) gapFor(r *http.Request) (time.Duration, bool) {
	query := r.URL.Query().Get("gap")
	if query == "" {
		return s.gap, true
	}
	gap, err := time.ParseDuration(query)
	return gap, err == nil && gap > 0
}

func (s script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	gap, ok := s.gapFor(r)
	if !ok {
		http.Error(w, "gap takes a duration such as 20ms", http.StatusBadRequest)
		return
	}
	out := w.(http.Flusher)
	w.Header().Set("Content-Type", s.mediaType)
	w.Header().Set("Cache-Control", "no-cache")
	out.Flush()

	due := time.NewTicker(gap)
	defer due.Stop()
	for next := 0; s.endless || next < len(s.frames); next++ {
		select {
		case <-due.C:
		case <-r.Context().Done():
			return
		}
		if _, err := w.Write(s.frames[next%len(s.frames)]); err != nil {
			return
		}
		out.Flush()
	}
}

func fixed(mediaType, text string) http.HandlerFunc {
	body := []byte(text)
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.Write(body)
	}
}

func main() {
	words := strings.Fields(prose)
	var tokens []string
	for _, word := range words {
		tokens = append(tokens, mustJSON(token{Content: word + " "}))
	}
	tokens = append(tokens, mustJSON(token{Finish: true}))
	data := mustJSON(document{
		ID: "d0c5-0001-4c1e", Type: "document", Message: prose,
		Items: []token{{"one", false}, {"two", false}, {"three", true}},
	})

	const sse = "text/event-stream"
	routes := http.NewServeMux()
	routes.Handle("/stream-sse", script{sse, framesOf(tokens, "data: ", "\n\n"), 100 * time.Millisecond, false})
	routes.Handle("/stream-ndjson", script{"application/x-ndjson", framesOf(tokens, "", "\n"), 100 * time.Millisecond, false})
	routes.Handle("/stream-loop", script{sse, framesOf(words, "data: ", "\n\n"), 200 * time.Millisecond, true})
	routes.Handle("/api/data", fixed("application/json", data))
	routes.Handle("/health", fixed("text/plain", "OK"))

	port := os.Getenv("PORT")
	if port == "" {
		port = "4100"
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, routes))
}
