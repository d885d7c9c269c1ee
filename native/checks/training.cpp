// What training computes: losses and gradients of ones are known.
#include <cmath>

#include "checks.h"

namespace checks {
namespace {

void all_near(const std::vector<float> &numbers, float expected, const char *what) {
  for (float number : numbers) check(std::fabs(number - expected) <= 1e-4f * (1.0f + std::fabs(expected)), what);
}

// Rows that are all alike under outputs that are all alike: every output is as likely.
void loss(int64_t rows, int64_t outputs, int64_t width) {
  const std::vector<float> hidden(rows * width, 1.0f), weight(outputs * width, 0.5f), counts(rows, 0.25f);
  std::vector<int64_t> targets(rows);
  for (int64_t r = 0; r < rows; ++r) targets[r] = r % outputs;
  std::vector<float> grad_hidden(rows * width, NAN), grad_weight(outputs * width, NAN);
  const float expected = 0.25f * rows * std::log(float(outputs));
  const auto of = [&](float *to_hidden, float *to_weight) {
    return centime_cross_entropy(hidden.data(), rows, width, weight.data(), outputs, targets.data(), counts.data(),
                                 to_hidden, to_weight);
  };
  all_near({of(nullptr, nullptr), of(grad_hidden.data(), grad_weight.data())}, expected, "a loss of ones is wrong");
  all_near(grad_hidden, 0.0f, "a loss of outputs that are all alike depends on what they saw");
  for (float slope : grad_weight) check(std::isfinite(slope), "a gradient of ones is no number");
}

// One direction stays one direction, of length near 1.
void direction(int64_t rows, int64_t columns, int64_t count) {
  std::vector<float> matrices(count * rows * columns, 3.0f);
  const float steps[] = {3.4445f, -4.775f, 2.0315f, 2.0f, -1.5f, 0.5f, 2.0f, -1.5f, 0.5f, 2.0f, -1.5f, 0.5f};
  centime_orthogonalise(matrices.data(), count, rows, columns, steps, 4);
  for (float number : matrices)
    check(std::fabs(number * std::sqrt(float(rows * columns)) - 1.0f) < 0.1f, "a direction has not a length of 1");
}

// Experts of ones: each visit adds what any other does, and one that nobody visits has no gradient.
void experts(int64_t rows, int64_t width, int64_t inner) {
  constexpr int64_t EXPERTS = 4, CHOSEN = 2;
  const std::vector<float> gate_up(EXPERTS * 2 * inner * width, 0.01f), down(EXPERTS * width * inner, 0.01f);
  const std::vector<float> x(rows * width, 1.0f), grad(rows * width, 1.0f), gates(rows * CHOSEN, 0.5f);
  std::vector<int64_t> ids(rows * CHOSEN);
  for (int64_t i = 0; i < rows * CHOSEN; ++i) ids[i] = i % 3;
  const centime_experts_of of{gate_up.data(), down.data(), EXPERTS, width, inner};
  const centime_routing routing{ids.data(), gates.data(), rows, CHOSEN};
  std::vector<float> both(rows * CHOSEN * 2 * inner), y(rows * width), of_x(rows * width), of_gates(rows * CHOSEN);
  std::vector<float> of_gate_up(gate_up.size(), NAN), of_down(down.size(), NAN);
  const centime_experts_slopes slopes{of_x.data(), of_gates.data(), of_gate_up.data(), of_down.data()};
  centime_routed_forward(&of, &routing, x.data(), both.data(), y.data());
  centime_routed_backward(&of, &routing, x.data(), both.data(), grad.data(), &slopes);
  const float score = 0.01f * width, expected = inner * 0.01f * score * score / (1.0f + std::exp(-score));
  all_near(y, expected, "experts of ones give something else");
  all_near(of_gates, width * expected, "a gate's gradient is not what its expert gives");
  const std::vector<float> last(of_down.end() - width * inner, of_down.end());
  all_near(last, 0.0f, "an expert that nobody visits has a gradient");
}

}  // namespace

void training(int64_t rows) {
  loss(rows, 37, 48);
  loss(4 * rows, 300, 16);  // more than a block of rows, and of outputs
  direction(1 + rows / 4, 21, 3);
  direction(19, 33, rows / 20);
  experts(rows, 16, 48);
  experts(4 * rows, 32, 16);  // more than one piece of an expert
}

}  // namespace checks
