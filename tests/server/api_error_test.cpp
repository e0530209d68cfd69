// Errors in OpenAI's form.
#include "runtime/server/http/api_error.h"

#include <gtest/gtest.h>

#include "rotor/formats/json.h"

namespace rotor::runtime::server {
namespace {

TEST(ApiError, SaysWhatOpenAiSays) {
  const ApiError error(404, "no model \"x\"", "model", "model_not_found");
  const Json json = parse_json(error_json(error), "the error");
  EXPECT_EQ(json, Json::parse(R"({"error": {"message": "no model \"x\"", "type": "invalid_request_error",
                                            "param": "model", "code": "model_not_found"}})"));
  EXPECT_EQ(error_response(error).status, 404);
  EXPECT_EQ(error_response(error).content_type, "application/json");
}

TEST(ApiError, WhatIsNotSaidIsNull) {
  const Json json = parse_json(error_json(ApiError(500, "broken")), "the error");
  EXPECT_EQ(json["error"]["type"], "server_error");
  EXPECT_TRUE(json["error"]["param"].is_null());
  EXPECT_TRUE(json["error"]["code"].is_null());
}

TEST(ApiError, QuotesOfWhatIsNoUtf8AreStillJson) {
  const Json json = parse_json(error_json(ApiError(400, "found \"\xff\xc3\"", "\x80")), "the error");
  EXPECT_EQ(json["error"]["message"], "found \"\uFFFD\uFFFD\"");
}

TEST(ApiError, HeadersSayWhatToDo) {
  ApiError busy(429, "busy");
  busy.retry_after_seconds = 7;
  const auto headers = error_response(busy).headers;
  ASSERT_EQ(headers.size(), 1U);
  EXPECT_EQ(headers[0].first, "Retry-After");
  EXPECT_EQ(headers[0].second, "7");
  EXPECT_EQ(error_response(ApiError(401, "no key")).headers[0].first, "WWW-Authenticate");
}

}  // namespace
}  // namespace rotor::runtime::server
