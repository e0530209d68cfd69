#include "runtime/retrieval/http_embedder.h"

#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "runtime/rag/chunker.h"

namespace rotor::runtime::retrieval {
namespace {

constexpr size_t kTextsAtOnce = 64;
constexpr int64_t kAssumedTokens = 500;  // servers do not say; most encoders have 512, with what they add
constexpr int kConnectSeconds = 10;
constexpr int kAnswerSeconds = 120;
constexpr size_t kQuoted = 200;

struct Address {
  std::string server;  ///< "http://host:port"
  std::string path;    ///< "/v1"
  std::string model;
};

Address parse_address(const std::string& text) {
  const size_t scheme = text.find("://");
  const size_t mark = text.find('#');
  const std::string before = text.substr(0, mark);
  const size_t slash = before.find('/', scheme + 3);
  Address address;
  address.server = before.substr(0, slash);
  address.path = slash == std::string::npos ? "" : before.substr(slash);
  while (address.path.ends_with('/')) address.path.pop_back();
  if (mark != std::string::npos) address.model = text.substr(mark + 1);
  if (address.server.size() == scheme + 3)
    fail(text, ": expected an address like http://127.0.0.1:8080/v1#model, found no host");
  return address;
}

class HttpEmbedder : public rag::Embedder {
 public:
  HttpEmbedder(const std::string& address, const HttpEmbedderOptions& options)
      : address_(parse_address(address)), options_(options) {
    if (address_.model.empty()) address_.model = only_model();
    dimensions_ = std::ssize(embed(std::vector<std::string>{"length of a vector"}, {}));
  }

  std::string id() const override { return "server " + address_.model; }
  int64_t dimensions() const override { return dimensions_; }
  int64_t max_tokens() const override { return kAssumedTokens; }
  int64_t count_tokens(std::string_view text) const override { return rag::estimate_tokens(text); }

  std::vector<float> embed(std::span<const std::string> texts,
                           const std::function<bool()>& keep_going) override {
    std::vector<float> vectors;
    for (size_t first = 0; first < texts.size(); first += kTextsAtOnce) {
      if (keep_going && !keep_going()) fail("embedding was stopped");
      const auto part = texts.subspan(first, std::min(kTextsAtOnce, texts.size() - first));
      const Json request = {{"model", address_.model},
                            {"input", std::vector<std::string>(part.begin(), part.end())},
                            {"encoding_format", "float"}};
      append(ask("/embeddings", dump_json(request), keep_going), part.size(), vectors);
    }
    return vectors;
  }

 private:
  std::string where(const std::string& path) const { return address_.server + address_.path + path; }

  std::string only_model() const {
    const Json json = ask("/models", "", {});
    const bool has_one = json.contains("data") && json["data"].is_array() && json["data"].size() == 1 &&
                         json["data"][0].contains("id") && json["data"][0]["id"].is_string();
    if (!has_one)
      fail(where("/models"), ": expected one model, found ", quote_json(json),
           "; name it: ", where("#MODEL"));
    return json["data"][0]["id"].get<std::string>();
  }

  /// The answer to a POST, or to a GET if there is no body. Tries again what may be better next time.
  Json ask(const std::string& path, const std::string& body, const std::function<bool()>& keep_going) const {
    auto pause = std::chrono::duration<double>(options_.first_pause_s);
    for (int64_t tried = 1;; ++tried) {
      // One a try: it is used by several threads, and none is worth keeping open between two documents.
      httplib::Client client(address_.server);
      client.set_connection_timeout(kConnectSeconds);
      client.set_read_timeout(kAnswerSeconds);
      client.set_write_timeout(kAnswerSeconds);
      httplib::Headers headers;
      if (!options_.key.empty()) headers.emplace("Authorization", "Bearer " + options_.key);
      const std::string full = address_.path + path;
      const httplib::Result result =
          body.empty() ? client.Get(full, headers) : client.Post(full, headers, body, "application/json");
      if (result && result->status == 200) return parse_json(result->body, where(path));
      const bool may_get_better = !result || result->status == 429 || result->status >= 500;
      if (!may_get_better || tried >= options_.tries || (keep_going && !keep_going()))
        refuse(path, result, tried);
      std::this_thread::sleep_for(pause);
      pause *= 2;
    }
  }

  [[noreturn]] void refuse(const std::string& path, const httplib::Result& result, int64_t tried) const {
    const std::string times = tried == 1 ? "" : cat(" (", tried, " times)");
    if (!result) {
      fail(where(path), ": no answer", times, ": ", httplib::to_string(result.error()),
           "; is the server running?");
    }
    fail(where(path), ": expected status 200, found ", result->status, times, ": ",
         result->body.substr(0, kQuoted));
  }

  /// The vectors of an answer, in the order of the texts and of length 1.
  void append(const Json& answer, size_t texts, std::vector<float>& vectors) const {
    const auto wrong = [&](const std::string& expected) {
      fail(where("/embeddings"), ": expected ", expected, ", found ", quote_json(answer));
    };
    if (!answer.is_object() || !answer.contains("data") || !answer["data"].is_array() ||
        answer["data"].size() != texts)
      wrong(cat("\"data\" with ", texts, " vectors"));
    std::vector<std::vector<float>> ordered(texts);
    for (const Json& one : answer["data"]) {
      const bool is_vector = one.is_object() && one.contains("index") && one["index"].is_number_unsigned() &&
                             one["index"].get<uint64_t>() < texts && one.contains("embedding") &&
                             one["embedding"].is_array();
      if (!is_vector) wrong("objects with \"index\" and \"embedding\"");
      std::vector<float>& vector = ordered[one["index"].get<size_t>()];
      for (const Json& value : one["embedding"]) {
        if (!value.is_number()) wrong("an embedding of numbers");
        vector.push_back(value.get<float>());
      }
    }
    for (std::vector<float>& vector : ordered) {
      double square = 0.0;
      for (const float value : vector) square += static_cast<double>(value) * static_cast<double>(value);
      const bool has_length = dimensions_ == 0 || std::ssize(vector) == dimensions_;
      if (vector.empty() || !has_length || !std::isfinite(square) || square == 0.0)
        wrong(dimensions_ == 0 ? "vectors that are not zero"
                               : cat("vectors of ", dimensions_, " numbers that are not zero"));
      for (float& value : vector) value = static_cast<float>(value / std::sqrt(square));
      vectors.insert(vectors.end(), vector.begin(), vector.end());
    }
  }

  Address address_;
  const HttpEmbedderOptions options_;
  int64_t dimensions_ = 0;  // 0: not known yet
};

}  // namespace

bool is_address(const std::string& text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

std::shared_ptr<rag::Embedder> http_embedder(const std::string& address, const HttpEmbedderOptions& options) {
  return std::make_shared<HttpEmbedder>(address, options);
}

}  // namespace rotor::runtime::retrieval
