// Which rows the next step of a batch has: a token of each text that is being decoded, with guesses of what
// comes behind it, and then parts of prompts. Nothing is computed here, but pages are given and taken.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/engine/batch_text.h"
#include "runtime/engine/kv_pages.h"

namespace rotor::runtime {

/// The part of a step that one text has: its next pending tokens, and guesses behind all of them.
struct StepPart {
  TextInBatch* text = nullptr;
  int64_t rows = 0;  ///< without the guesses
  std::vector<text::TokenId> guesses;
  bool draws = false;  ///< whether the next token is drawn then
};

struct StepLimits {
  int64_t batch = 128;         ///< rows in all
  int64_t prefill_chunk = 32;  ///< rows of prompts beside texts that are being decoded
  int64_t draft_tokens = 0;    ///< most guesses of a text
};

/// Gives back a text's pages; what is published of them can still be found.
void release_pages(TextInBatch& text, KvPages& pages);

struct StepPlan {
  std::vector<StepPart> parts;
  std::vector<TextInBatch*> preempted;  ///< their pages were given to older texts: they are to wait again
};

/// `all`: the texts that run, from the oldest on. `texts`: those of them that are to be computed, which have
/// the same adapters, in the same order. Each that is decoded gets a row. Of what is left for prompts the
/// oldest one has a half, so that it gets on, and the others have the rest, those first that are soon done,
/// so that a long prompt does not keep short ones waiting. A text whose next page is being computed for an
/// older one waits for that.
StepPlan plan_step(std::span<TextInBatch* const> all, std::span<TextInBatch* const> texts, KvPages& pages,
                   const StepLimits& limits);

}  // namespace rotor::runtime
