#include "runtime/rag/readers/html_tree.h"

#include <chrono>
#include <csetjmp>
#include <cstdlib>
#include <vector>

#include "rotor/core/error.h"
#include "runtime/rag/readers/text.h"

namespace rotor::runtime::rag {

/// What Gumbo allocates, in a list, so that it can be given back at any moment: Gumbo cannot be told to stop,
/// it is left by longjmp from an allocation. Only its own frames of C are skipped by that.
class HtmlTree::Memory {
 public:
  explicit Memory(size_t text_bytes) : most_((size_t{48} << 20) + 64 * text_bytes) {
    first_.next = first_.previous = &first_;
  }
  ~Memory() {
    while (first_.next != &first_) release(first_.next + 1);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  /// Null if the page was left.
  GumboOutput* parse(std::string_view text) {
    GumboOptions options = kGumboDefaultOptions;
    options.userdata = this;
    options.max_errors = 0;  // nobody reads them
    options.allocator = [](void* self, size_t size) { return static_cast<Memory*>(self)->allocate(size); };
    options.deallocator = [](void* self, void* bytes) { static_cast<Memory*>(self)->release(bytes); };
    if (setjmp(out_) != 0) return nullptr;
    return gumbo_parse_with_options(&options, text.data(), text.size());
  }

 private:
  struct alignas(std::max_align_t) Header {
    Header* next = nullptr;
    Header* previous = nullptr;
    size_t size = 0;
  };

  void* allocate(size_t size) {
    const bool is_late = ++allocations_ % 256 == 0 && std::chrono::steady_clock::now() > deadline_;
    auto* const made = is_late || used_ + size > most_
                           ? nullptr
                           : static_cast<Header*>(std::malloc(sizeof(Header) + size));  // NOLINT
    if (made == nullptr) longjmp(out_, 1);                                              // NOLINT
    *made = {&first_, first_.previous, size};
    first_.previous->next = made;
    first_.previous = made;
    used_ += size;
    return made + 1;
  }

  void release(void* bytes) {
    if (bytes == nullptr) return;
    Header* const header = static_cast<Header*>(bytes) - 1;
    header->previous->next = header->next;
    header->next->previous = header->previous;
    used_ -= header->size;
    std::free(header);  // NOLINT
  }

  Header first_;
  size_t most_;
  size_t used_ = 0;
  int64_t allocations_ = 0;
  std::chrono::steady_clock::time_point deadline_ =
      std::chrono::steady_clock::now() + std::chrono::seconds(60);
  std::jmp_buf out_ = {};
};

HtmlTree::HtmlTree(std::string_view text) : memory_(std::make_unique<Memory>(text.size())) {
  const GumboOutput* const output = memory_->parse(text);
  if (output == nullptr) {
    fail("expected a page of HTML that can be read in 60 s and 48 MB + 64 times its ", text.size(),
         " bytes, found one that takes more: its elements are nested too often");
  }
  root_ = output->root;
}

HtmlTree::~HtmlTree() = default;

std::string HtmlTree::text() const {
  std::string text;
  std::vector<const GumboNode*> rest = {root_};
  while (!rest.empty()) {
    const GumboNode* const node = rest.back();
    rest.pop_back();
    const bool is_text = node->type == GUMBO_NODE_TEXT || node->type == GUMBO_NODE_WHITESPACE ||
                         node->type == GUMBO_NODE_CDATA;
    if (is_text) text += text_of(*node);
    const auto nodes = children(*node);
    rest.insert(rest.end(), nodes.rbegin(), nodes.rend());
  }
  return text;
}

std::string text_of(const GumboNode& node) {
  return as_utf8(node.v.text.text);
}

std::span<GumboNode* const> children(const GumboNode& node) {
  const bool has_children = node.type == GUMBO_NODE_ELEMENT || node.type == GUMBO_NODE_TEMPLATE;
  if (!has_children) return {};
  const GumboVector& nodes = node.v.element.children;
  return {reinterpret_cast<GumboNode* const*>(nodes.data), nodes.length};
}

}  // namespace rotor::runtime::rag
