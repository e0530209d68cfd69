// A batcher whose texts say what a test wants, piece by piece.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "runtime/server/api/api_context.h"

namespace rotor::test {

class FakeBatch {
 public:
  using Pieces = std::vector<runtime::BatchProgress>;

  /// What text `index` of all is to say.
  std::function<Pieces(const runtime::BatchRequest& request, size_t index)> script;
  std::vector<runtime::BatchRequest> requests;
  int cancelled = 0;

  /// Pieces of text, then the end.
  static Pieces say(const std::vector<std::string>& texts,
                    runtime::StopReason reason = runtime::StopReason::stop_token) {
    Pieces pieces;
    for (const std::string& text : texts) {
      runtime::BatchProgress piece;
      piece.text = text;
      pieces.push_back(std::move(piece));
    }
    runtime::BatchProgress end;
    end.finished = true;
    end.stop_reason = reason;
    end.usage.completion_tokens = static_cast<int64_t>(texts.size());
    end.usage.cached_tokens = 2;
    pieces.push_back(std::move(end));
    return pieces;
  }

  runtime::server::Submit submit() {
    return [this](runtime::BatchRequest request) {
      const size_t index = requests.size();
      requests.push_back(request);
      return std::make_shared<Text>(*this, script(request, index));
    };
  }

 private:
  class Text final : public runtime::BatchText {
   public:
    Text(FakeBatch& batch, Pieces pieces) : batch_(batch), pieces_(std::move(pieces)) {}
    runtime::BatchProgress wait(std::chrono::milliseconds) override {
      if (is_cancelled_) {
        runtime::BatchProgress end;
        end.finished = true;
        end.stop_reason = runtime::StopReason::interrupted;
        return end;
      }
      return next_ < pieces_.size() ? pieces_[next_++] : runtime::BatchProgress();
    }
    void cancel() override {
      is_cancelled_ = true;
      ++batch_.cancelled;
    }

   private:
    FakeBatch& batch_;
    Pieces pieces_;
    size_t next_ = 0;
    bool is_cancelled_ = false;
  };
};

}  // namespace rotor::test
