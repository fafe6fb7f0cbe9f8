/* The scripted upstream of benchmarks/gateway.py: one thread, one epoll, OpenAI chat answers of about 1 KB.
 *
 *   upstream PORT GAP_US
 *
 * A request whose body holds "stream":true is answered with 53 server-sent events in separate writes (a role, 49 deltas, a
 * finish, a usage and [DONE]), GAP_US apart; any other with one JSON body. It must be far cheaper than what is measured.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 53, BUFFER = 65536, CONNECTIONS = 8192 };

typedef struct {
  int fd, used, next_event; /* next_event: 0 when no stream runs */
  long due_us;
  int slot; /* in the list of streams */
  char in[BUFFER];
} Connection;

static char whole[4096], events[EVENTS][1024];
static int whole_size, event_size[EVENTS];
static Connection *streams[CONNECTIONS];
static int stream_count, timer_fd, epoll_fd;
static long gap_us;
static const char *stream_head =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_bench\r\n"
    "x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n";

static long now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static void prepare(void) {
  const char *usage = "{\"prompt_tokens\":24,\"completion_tokens\":50,\"total_tokens\":74}";
  char text[900], body[2048], data[900];
  memset(text, 0, sizeof text);
  while (strlen(text) < 700) strcat(text, "The mint strikes coins, and each is counted. ");
  int size = sprintf(body,
                     "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1767225600,\"model\":\"gpt-4o-mini\","
                     "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},"
                     "\"finish_reason\":\"stop\"}],\"usage\":%s}",
                     text, usage);
  whole_size = sprintf(whole,
                       "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\n"
                       "content-length: %d\r\n\r\n%s",
                       size, body);
  const char *chunk =
      "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"gpt-4o-mini\","
      "\"choices\":[%s],\"usage\":%s}\n\n";
  for (int i = 0; i < EVENTS; i++) {
    const char *choice = "{\"index\":0,\"delta\":{\"content\":\" coin\"},\"finish_reason\":null}";
    if (i == 0) choice = "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}";
    if (i == EVENTS - 3) choice = "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}";
    int n = i == EVENTS - 1   ? sprintf(data, "data: [DONE]\n\n")
            : i == EVENTS - 2 ? sprintf(data, chunk, "", usage)
                              : sprintf(data, chunk, choice, "null");
    event_size[i] = sprintf(events[i], "%x\r\n%s\r\n%s", n, data, i == EVENTS - 1 ? "0\r\n\r\n" : "");
  }
}

static void stop_stream(Connection *c) {
  streams[c->slot] = streams[--stream_count];
  streams[c->slot]->slot = c->slot;
  c->next_event = 0;
}

static void hang_up(Connection *c) {
  if (c->next_event) stop_stream(c);
  close(c->fd);
  free(c);
}

static int say(Connection *c, const char *data, int size) {
  return send(c->fd, data, size, MSG_NOSIGNAL) == size; /* answers are smaller than a socket buffer */
}

/* The length of the first whole request in the buffer, 0 while there is none. */
static int request_size(Connection *c) {
  char *end = memmem(c->in, c->used, "\r\n\r\n", 4);
  if (!end) return 0;
  int head = end - c->in + 4, body = 0;
  for (char *line = c->in; line < end; line++)
    if (*line == '\n' && !strncasecmp(line + 1, "content-length:", 15)) body = atoi(line + 16);
  return head + body <= c->used ? head + body : 0;
}

static void serve(Connection *c) {
  int size;
  while (!c->next_event && (size = request_size(c))) {
    int streamed = memmem(c->in, size, "\"stream\":true", 13) || memmem(c->in, size, "\"stream\": true", 14);
    memmove(c->in, c->in + size, c->used -= size);
    if (!streamed) {
      if (!say(c, whole, whole_size)) return hang_up(c);
      continue;
    }
    if (!say(c, stream_head, strlen(stream_head)) || !say(c, events[0], event_size[0])) return hang_up(c);
    c->next_event = 1;
    c->due_us = now_us() + gap_us;
    c->slot = stream_count;
    streams[stream_count++] = c;
  }
}

static void readable(Connection *c) {
  int n = read(c->fd, c->in + c->used, BUFFER - c->used);
  if (n <= 0 && !(n < 0 && errno == EAGAIN)) return hang_up(c);
  if (n > 0) c->used += n;
  serve(c);
}

static void tick(void) {
  unsigned long ticks;
  if (read(timer_fd, &ticks, sizeof ticks) < 0) return;
  long now = now_us();
  for (int i = 0; i < stream_count; i++) {
    Connection *c = streams[i];
    if (c->due_us > now) continue;
    c->due_us = c->due_us + gap_us > now - 10 * gap_us ? c->due_us + gap_us : now;
    int e = c->next_event++;
    int said = say(c, events[e], event_size[e]);
    if (said && c->next_event < EVENTS) continue;
    i--; /* the last stream has taken this slot */
    if (!said) hang_up(c);
    else {
      stop_stream(c);
      serve(c);
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return fprintf(stderr, "usage: upstream PORT GAP_US\n"), 2;
  gap_us = atol(argv[2]);
  signal(SIGPIPE, SIG_IGN);
  prepare();
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1024)) return perror("listen"), 1;
  epoll_fd = epoll_create1(0);
  timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec every = {{0, 500000}, {0, 500000}};
  timerfd_settime(timer_fd, 0, &every, NULL);
  struct epoll_event event = {.events = EPOLLIN}, ready[256];
  event.data.ptr = &listener;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
  event.data.ptr = &timer_fd;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event);
  for (;;) {
    int n = epoll_wait(epoll_fd, ready, 256, -1), timer = 0;
    for (int i = 0; i < n; i++) {
      void *who = ready[i].data.ptr;
      if (who == &timer_fd) timer = 1; /* last: it may free a connection that is ready as well */
      else if (who == &listener) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        event.data.ptr = c;
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
      } else
        readable(who);
    }
    if (timer) tick();
  }
}
