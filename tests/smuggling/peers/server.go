// Logs each request it has parsed, then answers. Arguments: port, log.
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"sync"
)

func main() {
	var lock sync.Mutex
	log, err := os.OpenFile(os.Args[2], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	handler := func(response http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		line, _ := json.Marshal(map[string]string{
			"method": request.Method, "target": request.RequestURI, "host": request.Host, "body": string(body),
		})
		lock.Lock()
		log.Write(append(line, '\n'))
		lock.Unlock()
		response.Header().Set("x-final", "1")
		response.Header().Set("content-length", "2")
		io.WriteString(response, "ok")
	}
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(handler)))
}
