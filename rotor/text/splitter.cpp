// PCRE2 with Unicode properties. Invalid bytes are found first, since the library's check would refuse the
// whole text.
#include "rotor/text/splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>

#include "rotor/core/error.h"
#include "rotor/text/stream_decoder.h"

namespace rotor::text {

struct Splitter::Pattern {
  pcre2_code* code = nullptr;
  ~Pattern() { pcre2_code_free(code); }
};

namespace {

constexpr size_t kMatchSteps = 100'000;
constexpr uint32_t kHeapKib = 32 * 1024;  // of a pattern that is not compiled to machine code

std::string pcre_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

/// What a match needs; one a thread, since matching writes into it.
struct MatchMemory {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, 64 * 1024 * 1024, nullptr);

  MatchMemory() {
    pcre2_jit_stack_assign(context, nullptr, stack);
    pcre2_set_heap_limit(context, kHeapKib);
  }
  ~MatchMemory() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
  MatchMemory(const MatchMemory&) = delete;
  MatchMemory& operator=(const MatchMemory&) = delete;
};

}  // namespace

Splitter::Splitter(const std::string& pattern) : pattern_(std::make_unique<Pattern>()) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  pattern_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (pattern_->code == nullptr) {
    fail("split pattern: at character ", offset, " of \"", pattern, "\": ", pcre_message(error));
  }
  pcre2_jit_compile(pattern_->code, PCRE2_JIT_COMPLETE);  // without JIT it is slower, no more
}

Splitter::~Splitter() = default;
Splitter::Splitter(Splitter&&) noexcept = default;
Splitter& Splitter::operator=(Splitter&&) noexcept = default;

void Splitter::split(std::string_view text, const std::function<void(std::string_view)>& on_piece) const {
  while (!text.empty()) {
    const size_t valid = valid_utf8_prefix(text);
    split_valid(text.substr(0, valid), on_piece);
    text.remove_prefix(valid);
    if (text.empty()) break;
    on_piece(text.substr(0, 1));
    text.remove_prefix(1);
  }
}

void Splitter::split_valid(std::string_view text,
                           const std::function<void(std::string_view)>& on_piece) const {
  thread_local MatchMemory memory;
  // Honest patterns take a few steps a character; hostile ones would take the power of two of their number.
  pcre2_set_match_limit(memory.context,
                        static_cast<uint32_t>(std::min<size_t>(kMatchSteps + 16 * text.size(), UINT32_MAX)));
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t position = 0;
  while (position < text.size()) {
    const int result = pcre2_match(pattern_->code, subject, text.size(), position,
                                   PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, memory.data, memory.context);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) fail("split pattern: cannot match at byte ", position, ": ", pcre_message(result));
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(memory.data);
    // \K, where look-arounds call it, puts the start of a match anywhere.
    if (ends[0] < position || ends[1] <= ends[0])
      fail("split pattern: a match at byte ", position, " from ", ends[0], " to ", ends[1]);
    if (ends[0] > position) on_piece(text.substr(position, ends[0] - position));
    on_piece(text.substr(ends[0], ends[1] - ends[0]));
    position = ends[1];
  }
  if (position < text.size()) on_piece(text.substr(position));
}

}  // namespace rotor::text
