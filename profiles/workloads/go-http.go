// A web service in Go on net/http: HTTP and HTTPS, files, a proxy, an end without losing requests.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const plain, secure = "127.0.0.1:8000", "127.0.0.1:8443"

type logFile struct {
	sync.Mutex
	file *os.File
}

func (l *logFile) reopen() error {
	file, err := os.OpenFile("app.log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	l.Lock()
	defer l.Unlock()
	if l.file != nil {
		l.file.Close()
	}
	l.file = file
	return nil
}

func (l *logFile) Write(line []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.file.Write(line)
}

// What a handler answers: a value as JSON, or an error.
type answer func(body []byte) (any, error)

func (a answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	var value any
	if err == nil {
		value, err = a(body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(value)
}

func files(body []byte) (any, error) {
	top, err := os.MkdirTemp("", "app")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(top)
	path := filepath.Join(top, "a")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	out := bufio.NewWriter(file)
	fmt.Fprintln(out, strings.Repeat("x", 100000))
	if err := out.Flush(); err != nil {
		return nil, err
	}
	for _, err := range []error{file.Sync(), file.Truncate(10), file.Close(), os.Rename(path, path+"2"),
		os.Symlink("a2", path), os.Chmod(path+"2", 0o644), os.Chtimes(path+"2", time.Now(), time.Now())} {
		if err != nil {
			return nil, err
		}
	}
	entries, err := os.ReadDir(top)
	if err != nil {
		return nil, err
	}
	_, missing := os.Stat(filepath.Join(top, "missing"))
	return map[string]any{"files": len(entries), "missing": os.IsNotExist(missing)}, nil
}

// Many goroutines, memory to be collected, system calls that block threads.
func work(body []byte) (any, error) {
	var group sync.WaitGroup
	sums := make(chan [32]byte, 100)
	for i := 0; i < 100; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			time.Sleep(time.Millisecond)
			text := make([]byte, 100000)
			copy(text, body)
			sums <- sha256.Sum256(text)
		}(i)
	}
	group.Wait()
	runtime.GC()
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go writer.Close()
	io.ReadAll(reader)
	reader.Close()
	return map[string]any{"sums": len(sums), "cpus": runtime.NumCPU()}, nil
}

func fetch([]byte) (any, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	response, err := client.Get("https://localhost:8443/health")
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	_, refused := client.Get("http://127.0.0.1:9/")
	named, err := net.LookupHost("service.test")
	if err != nil {
		return nil, err
	}
	_, unknown := net.LookupHost("service.invalid")
	local, err := net.Listen("unix", "local.sock")
	if err != nil {
		return nil, err
	}
	defer local.Close()
	go func() {
		if accepted, err := local.Accept(); err == nil {
			accepted.Close()
		}
	}()
	connection, err := net.Dial("unix", "local.sock")
	if err != nil {
		return nil, err
	}
	connection.Close()
	return map[string]any{"proto": response.Proto, "refused": refused != nil, "named": named, "unknown": unknown != nil}, nil
}

func main() {
	logs := &logFile{}
	if err := logs.reopen(); err != nil {
		log.Fatal(err)
	}
	log.SetOutput(logs)
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "healthy") })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(500 * time.Millisecond)
		fmt.Fprintln(w, "slow, but there")
	})
	mux.Handle("/files", answer(files))
	mux.Handle("/work", answer(work))
	mux.Handle("/fetch", answer(fetch))
	mux.Handle("/static/", http.StripPrefix("/static/", http.FileServer(http.Dir("."))))
	upstream := &url.URL{Scheme: "http", Host: plain, Path: "/static/"}
	mux.Handle("/proxy/", http.StripPrefix("/proxy", httputil.NewSingleHostReverseProxy(upstream)))
	logged := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log.Println(r.Method, r.URL)
		mux.ServeHTTP(w, r)
	})
	servers := []*http.Server{{Addr: plain, Handler: logged, ReadTimeout: 10 * time.Second}, {Addr: secure, Handler: logged}}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, os.Interrupt)
	go func() { log.Print(servers[0].ListenAndServe()) }()
	go func() { log.Print(servers[1].ListenAndServeTLS("cert.pem", "key.pem")) }()
	for got := range signals {
		if got != syscall.SIGHUP {
			break
		}
		if err := logs.reopen(); err != nil {
			log.Print(err)
		}
	}
	soon, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, server := range servers {
		if err := server.Shutdown(soon); err != nil {
			log.Print(err)
		}
	}
	log.Print("ended")
}
