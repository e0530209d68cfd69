#include "runtime/rag/documents.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "rotor/core/error.h"
#include "tests/rag/rag_fixture.h"

namespace rotor::test {
namespace {

constexpr int kDocuments = 1300;  // more than are listed at once

class DocumentsTest : public BaseFixture {
 protected:
  DocumentsTest() {
    create("", 0);
    store_ = open();
    for (int i = 0; i < kDocuments; ++i) {
      rag::DocumentRecord document;
      document.id = cat("d", 10000 + i);
      document.metadata["odd"] = i % 2;
      EXPECT_TRUE(store_->put(document, {}, {}, {}));
    }
  }

  std::shared_ptr<rag::Store> store_;
};

TEST_F(DocumentsTest, AreMetOnceInOrderUntilItIsEnough) {
  std::vector<std::string> ids;
  const auto snapshot = store_->records();
  rag::for_each_document(*snapshot, {{"odd", rag::Condition::Relation::equal, "1"}},
                         [&](const auto& document) {
                           ids.push_back(document.id);
                           return true;
                         });
  EXPECT_EQ(std::ssize(ids), kDocuments / 2);
  EXPECT_TRUE(std::ranges::is_sorted(ids));
  int met = 0;
  rag::for_each_document(*store_, {}, [&](const auto&) { return ++met < 1100; });
  EXPECT_EQ(met, 1100);
}

TEST_F(DocumentsTest, MayGoMeanwhile) {
  int removed = 0;
  rag::for_each_document(*store_, {}, [&](const auto& document) {
    removed += store_->remove(document.id) ? 1 : 0;
    return true;
  });
  EXPECT_EQ(removed, kDocuments);
  EXPECT_EQ(store_->records()->statistics().documents, 0);
}

}  // namespace
}  // namespace rotor::test
