// A model hub for tests, on 127.0.0.1 and a free port: it answers the requests that
// scripts/download_bitnet.sh makes, in the shapes that the public hub gives (huggingface_hub: hf_api.py,
// file_download.py, utils/_http.py), and on demand answers them badly. It computes no checksums: listings are
// files that the test wrote, by tools we did not write.
//
//   hub-server ROOT > LOG
//
// ROOT/listings/OWNER/NAME/REVISION.json   what GET /api/models/OWNER/NAME/revision/REVISION answers
// ROOT/files/OWNER/NAME/FILE               what GET /OWNER/NAME/resolve/COMMIT/FILE leads to, over a redirect
// ROOT/gated/OWNER/NAME                    if there, the token without which no file is given out
//
// POST /fault with "KIND NUMBER FILE" spoils the next answer that carries FILE: `cut N` closes the connection
// after N bytes, `stall N` falls silent after N, `extra N` sends N bytes too many, `wrong 0` flips a bit,
// `norange 0` sends the whole file whatever was asked for, `status N` is an HTTP status. LOG gets "listening
// PORT", then a line for each request ("get PATH from=OFFSET token=yes|no") and each file sent ("sent BYTES
// PATH").
#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace rotor {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPieceBytes = 16384;
constexpr auto kStall = std::chrono::seconds(60);

struct Fault {
  std::string kind = "none";
  size_t number = 0;
  std::string file;
};

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void refuse(httplib::Response& response, int status, const char* error_code) {
  response.status = status;
  response.set_header("X-Error-Code", error_code);
  response.set_content("{\"error\":\"no\"}", "application/json");
}

class Hub {
 public:
  explicit Hub(fs::path root) : root_(std::move(root)) {
    using httplib::Request;
    using httplib::Response;
    server_.Post("/fault", [this](const Request& request, Response&) { add_fault(request.body); });
    server_.Get("/api/models/([^/]+/[^/]+)/revision/(.+)",
                [this](const Request& request, Response& response) { list(request, response); });
    server_.Get("/([^/]+/[^/]+)/resolve/([^/]+)/(.+)",
                [this](const Request& request, Response& response) { resolve(request, response); });
    server_.Get("/storage/([^/]+/[^/]+)/resolve/([^/]+)/(.+)",
                [this](const Request& request, Response& response) { send(request, response); });
  }

  /// Serves until the process is killed; false if no port could be had.
  bool run() {
    port_ = server_.bind_to_any_port("127.0.0.1");
    if (port_ < 0) return false;
    log("listening " + std::to_string(port_));
    return server_.listen_after_bind();
  }

 private:
  void list(const httplib::Request& request, httplib::Response& response) {
    log_request(request);
    const fs::path repository = root_ / "listings" / request.matches[1].str();
    const fs::path listing = repository / (request.matches[2].str() + ".json");
    if (fs::is_regular_file(listing)) return response.set_content(read_file(listing), "application/json");
    if (fs::exists(repository)) return refuse(response, 404, "RevisionNotFound");
    // The public hub says 401 to strangers, so as not to tell what is private; who has a token gets 404.
    refuse(response, request.has_header("Authorization") ? 404 : 401, "RepoNotFound");
  }

  void resolve(const httplib::Request& request, httplib::Response& response) {
    log_request(request);
    const std::string repository = request.matches[1].str();
    const std::string name = request.matches[3].str();
    if (const fs::path gate = root_ / "gated" / repository; fs::exists(gate)) {
      const std::string given = request.get_header_value("Authorization");
      if (given.empty()) return refuse(response, 401, "GatedRepo");
      if (given != "Bearer " + read_file(gate)) return refuse(response, 403, "GatedRepo");
    }
    if (!fs::exists(root_ / "listings" / repository / (request.matches[2].str() + ".json"))) {
      return refuse(response, 404, "RevisionNotFound");
    }
    if (!fs::exists(root_ / "files" / repository / name)) return refuse(response, 404, "EntryNotFound");
    // Large files lie on another host, which must not see the token; small ones on this one, by a relative
    // address.
    const bool is_large = name.ends_with(".safetensors") || name.ends_with(".gguf");
    const std::string host = is_large ? "http://localhost:" + std::to_string(port_) : "";
    response.set_redirect(host + "/storage" + request.target, is_large ? 302 : 307);
  }

  void send(const httplib::Request& request, httplib::Response& response) {
    log_request(request);
    const Fault fault = take_fault(request.matches[3].str());
    if (fault.kind == "status") return refuse(response, static_cast<int>(fault.number), "Fault");
    auto content = std::make_shared<std::string>(
        read_file(root_ / "files" / request.matches[1].str() / request.matches[3].str()));
    if (fault.kind == "wrong") content->at(content->size() / 2) ^= 1;
    if (fault.kind == "extra") content->append(fault.number, '\0');
    // The library answers ranges by itself; a server that knows none is one that saw none.
    if (fault.kind == "norange") const_cast<httplib::Request&>(request).ranges.clear();
    auto sent = std::make_shared<size_t>(0);
    const auto log_sent = [this, sent, path = request.path] {
      log("sent " + std::to_string(*sent) + " " + path);
    };
    const bool stalls = fault.kind == "stall";
    const bool stops = stalls || fault.kind == "cut";
    response.set_content_provider(
        content->size(), "application/octet-stream",
        [=](size_t offset, size_t length, httplib::DataSink& sink) {
          size_t piece = std::min(length, kPieceBytes);
          if (stops) piece = std::min(piece, fault.number - *sent);
          if (piece == 0) {
            if (stalls) {
              log_sent();
              std::this_thread::sleep_for(kStall);
            }
            return false;
          }
          if (!sink.write(content->data() + offset, piece)) return false;
          *sent += piece;
          return true;
        },
        [=](bool) {
          if (!stalls) log_sent();
        });
  }

  void add_fault(const std::string& text) {
    Fault fault;
    std::istringstream(text) >> fault.kind >> fault.number >> fault.file;
    const std::lock_guard lock(mutex_);
    faults_.push_back(fault);
  }

  Fault take_fault(const std::string& file) {
    const std::lock_guard lock(mutex_);
    const auto found =
        std::find_if(faults_.begin(), faults_.end(), [&](const Fault& f) { return f.file == file; });
    if (found == faults_.end()) return {};
    const Fault fault = *found;
    faults_.erase(found);
    return fault;
  }

  void log_request(const httplib::Request& request) {
    const auto from = request.ranges.empty() ? 0 : request.ranges.front().first;
    log("get " + request.target + " from=" + std::to_string(from) +
        " token=" + (request.has_header("Authorization") ? "yes" : "no"));
  }

  void log(const std::string& line) {
    const std::lock_guard lock(mutex_);
    std::cout << line << std::endl;
  }

  fs::path root_;
  httplib::Server server_;
  int port_ = -1;
  std::mutex mutex_;
  std::vector<Fault> faults_;
};

}  // namespace
}  // namespace rotor

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "hub-server: expected a folder\n";
    return 2;
  }
  return rotor::Hub(argv[1]).run() ? 0 : 1;
}
