// Metrics by prometheus-cpp.
#include "runtime/server/operation/metrics.h"

#include <dirent.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <sstream>
#include <vector>

namespace rotor::runtime::server {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;

const Histogram::BucketBoundaries kSeconds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                              2.5,   5,    10,    30,   60,  120,  300, 600};
const Histogram::BucketBoundaries kTokensPerSecond = {0.5, 1,  2,  5,   10,  15,  20,
                                                      30,  50, 75, 100, 200, 500, 1000};

MetricFamily family_of(MetricType type, const std::string& name, const std::string& help, double value) {
  MetricFamily family{name, help, type, {prometheus::ClientMetric()}};
  family.metric[0].counter.value = value;  // the serializer reads the one that `type` names
  family.metric[0].gauge.value = value;
  return family;
}

void add_batcher(const BatcherStatistics& now, std::vector<MetricFamily>& families) {
  const auto gauge = [&](const char* name, const char* help, int64_t value) {
    families.push_back(family_of(MetricType::Gauge, name, help, static_cast<double>(value)));
  };
  const auto counter = [&](const char* name, const char* help, uint64_t value) {
    families.push_back(family_of(MetricType::Counter, name, help, static_cast<double>(value)));
  };
  gauge("rotor_texts_running", "Texts in the batch", now.running);
  gauge("rotor_texts_waiting", "Texts in the queue", now.waiting);
  gauge("rotor_kv_pages", "Pages of keys and values in all", now.pages);
  gauge("rotor_kv_pages_used", "Pages of texts that run", now.pages_used);
  gauge("rotor_kv_pages_cached", "Pages kept for texts with the same beginning", now.pages_cached);
  gauge("rotor_kv_page_tokens", "Tokens of a page", now.page_tokens);
  counter("rotor_steps_total", "Steps of the batch", now.steps);
  counter("rotor_prompt_tokens_total", "Tokens of prompts that were begun", now.prompt_tokens);
  counter("rotor_prompt_tokens_cached_total", "Tokens of prompts found in the prefix cache",
          now.cached_tokens);
  counter("rotor_completion_tokens_total", "Tokens generated", now.completion_tokens);
  counter("rotor_draft_tokens_total", "Tokens guessed from the text so far", now.drafted_tokens);
  counter("rotor_draft_tokens_accepted_total", "Guessed tokens that were right", now.accepted_tokens);
  counter("rotor_texts_preempted_total", "Texts that gave their pages to others", now.preempted);
  counter("rotor_texts_finished_total", "Texts that came to an end of their own", now.finished);
  counter("rotor_texts_cancelled_total", "Texts whose clients left", now.cancelled);
  counter("rotor_texts_failed_total", "Texts that could not go on", now.failed);
}

double resident_bytes() {
  double total_pages = 0.0;
  double resident_pages = 0.0;
  std::ifstream("/proc/self/statm") >> total_pages >> resident_pages;
  return resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

int64_t open_files() {
  DIR* const folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  int64_t count = -3;  // ".", ".." and the folder itself
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

}  // namespace

struct Metrics::Families {
  prometheus::Registry registry;
  const double started = static_cast<double>(std::time(nullptr));
  Family<Counter>& requests = BuildCounter()
                                  .Name("rotor_http_requests_total")
                                  .Help("Requests by path, method and status; status 0: there was no answer")
                                  .Register(registry);
  Family<Counter>& cut = BuildCounter()
                             .Name("rotor_http_requests_cut_total")
                             .Help("Requests whose client left before it had the whole answer")
                             .Register(registry);
  Family<Histogram>& duration = BuildHistogram()
                                    .Name("rotor_http_request_duration_seconds")
                                    .Help("From a request's first byte to its answer's last one")
                                    .Register(registry);
  Family<Counter>& ends = BuildCounter()
                              .Name("rotor_texts_ended_total")
                              .Help("Texts by path and by what ended them")
                              .Register(registry);
  Family<Counter>& retrievals = BuildCounter()
                                    .Name("rotor_retrievals_total")
                                    .Help("Answers by what a look into the knowledge base came to")
                                    .Register(registry);
  Family<Histogram>& retrieval_seconds = BuildHistogram()
                                             .Name("rotor_retrieval_seconds")
                                             .Help("Searches in the knowledge base")
                                             .Register(registry);
  Histogram& first_token = BuildHistogram()
                               .Name("rotor_time_to_first_token_seconds")
                               .Help("From a text's submission to its first token")
                               .Register(registry)
                               .Add({}, kSeconds);
  Histogram& queue = BuildHistogram()
                         .Name("rotor_queue_seconds")
                         .Help("What texts waited in the queue")
                         .Register(registry)
                         .Add({}, kSeconds);
  Histogram& tokens_per_second = BuildHistogram()
                                     .Name("rotor_tokens_per_second")
                                     .Help("Speed of each text after its first token")
                                     .Register(registry)
                                     .Add({}, kTokensPerSecond);
};

Metrics::Metrics() : families_(std::make_unique<Families>()) {}

Metrics::~Metrics() = default;

void Metrics::set_sources(Sources sources) {
  sources_ = std::move(sources);
}

void Metrics::count(const RequestRecord& record) {
  // Paths and methods that clients invent would make a series each.
  const bool known = !record.route.empty();
  const std::string path = known ? record.route : "other";
  const std::string method = known ? record.method : "other";
  Families& to = *families_;
  to.requests.Add({{"path", path}, {"method", method}, {"status", std::to_string(record.status)}})
      .Increment();
  if (record.cut) to.cut.Add({{"path", path}}).Increment();
  if (known) to.duration.Add({{"path", path}}, kSeconds).Observe(record.seconds);
  for (const BatchUsage& usage : record.usage) count(usage);
}

void Metrics::count(const BatchUsage& usage) {
  families_->queue.Observe(usage.queue_seconds);
  if (usage.completion_tokens == 0) return;
  families_->first_token.Observe(usage.first_token_seconds);
  const double seconds = usage.seconds - usage.first_token_seconds;
  if (usage.completion_tokens > 1 && seconds > 0.0) {
    families_->tokens_per_second.Observe(static_cast<double>(usage.completion_tokens - 1) / seconds);
  }
}

void Metrics::count_end(const std::string& path, const std::string& outcome) {
  families_->ends.Add({{"path", path}, {"outcome", outcome}}).Increment();
}

void Metrics::count_retrieval(const std::string& outcome, double seconds) {
  families_->retrievals.Add({{"outcome", outcome}}).Increment();
  if (seconds > 0.0) families_->retrieval_seconds.Add({}, kSeconds).Observe(seconds);
}

std::string Metrics::text() const {
  std::vector<MetricFamily> families = families_->registry.Collect();
  if (sources_.batcher) add_batcher(sources_.batcher(), families);
  const auto gauge = [&](const char* name, const char* help, double value) {
    families.push_back(family_of(MetricType::Gauge, name, help, value));
  };
  if (sources_.connections) {
    gauge("rotor_http_connections", "Open connections", static_cast<double>(sources_.connections()));
  }
  gauge("process_resident_memory_bytes", "Memory of the process, its share of the mapped model included",
        resident_bytes());
  gauge("process_open_fds", "Open file descriptors", static_cast<double>(open_files()));
  gauge("process_start_time_seconds", "When the process began, since 1970", families_->started);
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return out.str();
}

}  // namespace rotor::runtime::server
