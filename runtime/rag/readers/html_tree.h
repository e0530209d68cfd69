// A page of HTML as Gumbo's tree, in memory of its own: that bounds memory and time of a page whatever is in
// it, and gives a tree of any depth back without recursion.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <gumbo.h>

namespace rotor::runtime::rag {

class HtmlTree {
 public:
  /// `text`: UTF-8; the tree refers to none of it. Throws Error for pages whose tree takes more than
  /// 48 MB + 64 times the text, or 60 s: they were made for that.
  explicit HtmlTree(std::string_view text);
  ~HtmlTree();
  HtmlTree(const HtmlTree&) = delete;
  HtmlTree& operator=(const HtmlTree&) = delete;

  const GumboNode& root() const { return *root_; }
  /// All text in it.
  std::string text() const;

 private:
  class Memory;
  std::unique_ptr<Memory> memory_;
  const GumboNode* root_ = nullptr;
};

/// UTF-8 of a node that is one of text, of CDATA or of blanks; Gumbo makes others of numbers that name no
/// character.
std::string text_of(const GumboNode& node);

/// Of an element, a template or the document; none of others.
std::span<GumboNode* const> children(const GumboNode& node);

}  // namespace rotor::runtime::rag
