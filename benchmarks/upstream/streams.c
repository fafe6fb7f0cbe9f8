/* The stream client of benchmarks/gateway.py: keeps CONNECTIONS streams running for SECONDS and counts what arrives.
 *
 *   streams PORT CONNECTIONS SECONDS HEADER...
 *
 * Prints one JSON object: streams ended whole, events, failures, and the p50 and p99 of the time to the first event in us.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 65536, SAMPLES = 1 << 20 };

typedef struct {
  int fd, seen;
  long asked_us;
  int tail_size;
  char tail[8]; /* the end of what was read before, so that a mark split between reads is found */
} Stream;

static char request[8192];
static int request_size, port;
static long events, ended, failed, *firsts;
static int first_count;

static long now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static int count(const char *data, int size, const char *mark) {
  int found = 0, length = strlen(mark);
  const char *end = data + size;
  while ((data = memmem(data, end - data, mark, length))) found++, data += length;
  return found;
}

static void ask(Stream *s) {
  s->asked_us = now_us();
  s->seen = s->tail_size = 0;
  if (send(s->fd, request, request_size, MSG_NOSIGNAL) != request_size) failed++;
}

static void dial(Stream *s, int epoll_fd) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int one = 1;
  s->fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(s->fd, (void *)&address, sizeof address)) perror("connect"), exit(1);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &event);
  ask(s);
}

static void readable(Stream *s, int epoll_fd) {
  static char data[BUFFER + 8];
  memcpy(data, s->tail, s->tail_size);
  int n = read(s->fd, data + s->tail_size, BUFFER);
  if (n <= 0) {
    failed++;
    close(s->fd);
    dial(s, epoll_fd);
    return;
  }
  n += s->tail_size;
  int found = count(data, n, "\ndata: ");
  if (found && !s->seen && first_count < SAMPLES) firsts[first_count++] = now_us() - s->asked_us;
  s->seen += found;
  events += found;
  if (count(data, n, "\r\n0\r\n\r\n")) {
    ended++;
    ask(s);
    return;
  }
  s->tail_size = n < 6 ? n : 6; /* one less than the marks: nothing is counted twice */
  memcpy(s->tail, data + n - s->tail_size, s->tail_size);
}

static int by_size(const void *a, const void *b) { return *(const long *)a < *(const long *)b ? -1 : 1; }

int main(int argc, char **argv) {
  if (argc < 4) return fprintf(stderr, "usage: streams PORT CONNECTIONS SECONDS HEADER...\n"), 2;
  port = atoi(argv[1]);
  int connections = atoi(argv[2]);
  double seconds = atof(argv[3]);
  const char *body =
      "{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"How many coins does a mint strike in a day, and "
      "who counts them?\"}],\"max_tokens\":64,\"stream\":true,\"stream_options\":{\"include_usage\":true}}";
  request_size = sprintf(request, "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n");
  for (int i = 4; i < argc; i++) request_size += sprintf(request + request_size, "%s\r\n", argv[i]);
  request_size += sprintf(request + request_size, "content-length: %zu\r\n\r\n%s", strlen(body), body);
  firsts = malloc(SAMPLES * sizeof *firsts);
  int epoll_fd = epoll_create1(0);
  Stream *all = calloc(connections, sizeof *all);
  for (int i = 0; i < connections; i++) dial(&all[i], epoll_fd);
  long until = now_us() + seconds * 1e6;
  struct epoll_event ready[256];
  while (now_us() < until) {
    int n = epoll_wait(epoll_fd, ready, 256, 50);
    for (int i = 0; i < n; i++) readable(ready[i].data.ptr, epoll_fd);
  }
  qsort(firsts, first_count, sizeof *firsts, by_size);
  printf("{\"ended\":%ld,\"events\":%ld,\"failed\":%ld,\"first_p50_us\":%ld,\"first_p99_us\":%ld}\n", ended, events, failed,
         first_count ? firsts[first_count / 2] : 0, first_count ? firsts[first_count * 99 / 100] : 0);
  return 0;
}
