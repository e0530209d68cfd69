// What Prometheus reads of a server (docs/deploy.md lists the names): counters and histograms of requests,
// and the batcher's statistics of the moment.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/engine/batcher.h"
#include "runtime/server/http/request_record.h"

namespace rotor::runtime::server {

/// Thread-safe.
class Metrics {
 public:
  struct Sources {
    std::function<BatcherStatistics()> batcher;  ///< asked at each scrape; empty: no batcher's metrics
    std::function<int64_t()> connections;        ///< open ones
  };

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// To be called before the first text().
  void set_sources(Sources sources);
  /// Of its texts, too.
  void count(const RequestRecord& record);
  void count(const BatchUsage& usage);
  /// A text that ended: `outcome` is "stop", "length", ...
  void count_end(const std::string& path, const std::string& outcome);
  /// A look into the knowledge base: `outcome` is "used", "irrelevant", ...; `seconds`: of its search, 0 if
  /// there was none.
  void count_retrieval(const std::string& outcome, double seconds);
  /// Prometheus' text format 0.0.4.
  std::string text() const;
  static constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  struct Families;
  std::unique_ptr<Families> families_;
  Sources sources_;
};

}  // namespace rotor::runtime::server
