"""The decision rules a second time, in Python: what the service must answer.

Python's own float(), str.strip() and json are the grammar that the rules name,
so this is the reference for random requests.
"""
import json
import math
import random

PREFIX = "Error in input data: "


class Refused(Exception):
    def __init__(self, status, detail):
        super().__init__(detail)
        self.status = status
        self.detail = detail


def form(detail):
    return Refused(422, PREFIX + detail)


def rule(detail):
    return Refused(400, detail)


def type_name(value):
    if isinstance(value, float) and value.is_integer():
        return "int"
    return type(value).__name__


def name_of(text, what):
    name = text.strip()
    if not name:
        raise rule(PREFIX + f"{what} name cannot be empty")
    return name


def number_of(value, whose):
    if isinstance(value, (bool, int, float)):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    expected = "(expected int, float, or numeric string)"
    if not isinstance(value, str):
        raise form(f"Invalid type for {whose}: {type_name(value)} {expected}")
    try:
        return float(value)
    except ValueError:
        raise rule(PREFIX + f"Invalid value for {whose}: '{value}' {expected}") from None


def take_alternatives(raw):
    if not isinstance(raw, list):
        raise form(f"alternatives must be a list, got {type_name(raw)}")
    names = []
    for entry in raw:
        if isinstance(entry, dict):
            if "name" not in entry:
                raise rule(PREFIX + "Alternative dict must have 'name' key")
            entry = entry["name"]
            if not isinstance(entry, str):
                raise form(f"Alternative name must be a string, got {type_name(entry)}")
        elif not isinstance(entry, str):
            raise form(f"Alternative must be a string or a dict, got {type_name(entry)}")
        name = name_of(entry, "Alternative")
        if name not in names:
            names.append(name)
    return names


def take_criteria(raw):
    if not isinstance(raw, dict):
        raise form(f"criteria must be a dict, got {type_name(raw)}")
    weights = {}
    for key, value in raw.items():
        name = name_of(key, "Criterion")
        if isinstance(value, dict):
            if "weight" not in value:
                raise rule(PREFIX + f"Criterion '{name}' dict must have 'weight' key")
            value = value["weight"]
        weight = number_of(value, f"weight for criterion '{name}'")
        if name in weights:
            raise rule(PREFIX + f"Criterion '{name}' is given twice in criteria")
        weights[name] = weight
    return weights


def take_scores(raw, alternatives, weights):
    if not isinstance(raw, dict):
        raise form(f"scores must be a dict, got {type_name(raw)}")
    scores = {}
    for key, row in raw.items():
        name = name_of(key, "Alternative")
        if name not in alternatives:
            raise rule(PREFIX + f"Alternative '{name}' in scores not found in alternatives list")
        if name in scores:
            raise rule(PREFIX + f"Alternative '{name}' is given twice in scores")
        scores[name] = {}
        if not isinstance(row, dict):
            raise form(f"Scores for alternative '{name}' must be a dict, got {type_name(row)}")
        for criterion, value in row.items():
            criterion = name_of(criterion, "Criterion")
            if criterion not in weights:
                raise rule(PREFIX + f"Criterion '{criterion}' in scores not found in criteria list")
            if criterion in scores[name]:
                raise rule(PREFIX + f"Criterion '{criterion}' is given twice in scores "
                           f"for alternative '{name}'")
            scores[name][criterion] = number_of(
                value, f"score for alternative '{name}' on criterion '{criterion}'")
    return scores


def check(alternatives, weights, scores, methodology):
    if methodology != "WSM":
        raise rule(f"Unsupported methodology: {methodology}. Only 'WSM' is supported.")
    for name, weight in weights.items():
        if weight < 0:
            raise rule(f"Criterion '{name}' has negative weight: {weight!r}. "
                       "Weights must be non-negative.")
        if not math.isfinite(weight):
            raise rule(f"Weight for '{name}' is not a finite number.")
    total = 0.0
    for weight in weights.values():
        total += weight
    if not abs(total - 1.0) <= 1e-6:
        raise rule(f"Criteria weights must sum to 1.0, got {total!r}.")
    for name, row in scores.items():
        for criterion, value in row.items():
            if not math.isfinite(value):
                raise rule(f"Score for '{name}' on '{criterion}' is not a finite number.")
    for name in alternatives:
        for criterion in weights:
            if criterion not in scores.get(name, {}):
                raise rule(f"Missing score for Alternative '{name}' on Criterion '{criterion}'")


def rank(alternatives, weights, scores):
    totals = {}
    for name in alternatives:
        total = 0.0
        for criterion, value in scores[name].items():
            total += weights[criterion] * value
        totals[name] = total
    return sorted(totals.items(), key=lambda item: (-item[1], item[0]))


def sensitivity(alternatives, weights, scores, ranking):
    if len(weights) < 2 or not alternatives:
        return []
    heaviest = max(weights, key=weights.get)
    others = 0.0
    for name, weight in weights.items():
        if name != heaviest:
            others += weight
    if others == 0:
        return []
    reduced = weights[heaviest] * 0.8
    factor = (1.0 - reduced) / others
    changed = {n: reduced if n == heaviest else w * factor for n, w in weights.items()}
    winner, other = ranking[0][0], rank(alternatives, changed, scores)[0][0]
    if winner == other:
        return []
    return [{"criterion_name": heaviest, "original_weight": weights[heaviest],
             "reduced_weight": reduced, "original_winner": winner, "new_winner": other,
             "warning": f"If '{heaviest}' becomes less important, '{other}' would win "
                        f"instead of '{winner}'."}]


def decide(request):
    """The response to a request, or Refused."""
    missing = [k for k in ("problem", "alternatives", "criteria", "scores") if k not in request]
    if missing:
        raise form("Missing required keys: " + ", ".join(missing))
    alternatives = take_alternatives(request["alternatives"])
    weights = take_criteria(request["criteria"])
    scores = take_scores(request["scores"], alternatives, weights)
    check(alternatives, weights, scores, request.get("methodology", "WSM"))
    ranking = rank(alternatives, weights, scores)
    warnings = []
    if request.get("show_sensitivity", True):
        warnings = sensitivity(alternatives, weights, scores, ranking)
    detailed = []
    if request.get("show_details", True):
        detailed = [{"name": name, "total_score": total, "rank": place + 1,
                     "detailed_scores": [
                         {"criterion_name": c, "raw_score": scores[name][c],
                          "weighted_score": w * scores[name][c], "weight": w}
                         for c, w in weights.items()]}
                    for place, (name, total) in enumerate(ranking)]
    return {"problem": request["problem"], "methodology": "WSM",
            "rankings": [{"rank": place + 1, "name": name, "score": total}
                         for place, (name, total) in enumerate(ranking)],
            "recommendation": ranking[0][0] if ranking else None,
            "detailed_analysis": detailed, "sensitivity_warnings": warnings,
            "is_robust": not warnings}


# ---- Random requests --------------------------------------------------------

NAMES = ["Python", "Go", "東京", "naïve café", "a\"quoted\"", "back\\slash", "emoji 🚀",
         "tab\tname", "x", "Ångström", "\ufffd", "\U0001f680", "x'; DROP TABLE decisions"]
SPACES = ["", "", "", " ", "\t", "\u2003", "\u00a0", "\x1f"]
VALUES = [0, 1, -5, 7.25, 1e-300, True, False, "5", " 1_0 ", "+.5", "1e2", "٣", -0.0, 123456789]
WRONG = [None, [], {}, "abc", "0x1", "nan", "-inf", 1e400, "", "1__0", {"weight": 1}, -1]


def padded(generator, name):
    return generator.choice(SPACES) + name + generator.choice(SPACES)


def random_weights(generator, count):
    if count == 1:
        return [1.0]
    cuts = sorted(generator.randint(0, 100) for _ in range(count - 1))
    edges = [0, *cuts, 100]
    return [(b - a) / 100 for a, b in zip(edges, edges[1:])]


def random_request(generator):
    alternatives = generator.sample(NAMES, generator.randint(0, 6))
    criteria = generator.sample(NAMES, generator.randint(1, 5))
    request = {
        "problem": generator.choice(NAMES),
        "alternatives": [generator.choice([padded(generator, a), {"name": padded(generator, a)}])
                         for a in alternatives],
        "criteria": {},
        "scores": {},
    }
    for criterion, weight in zip(criteria, random_weights(generator, len(criteria))):
        weight = generator.choice([weight, weight, str(weight), {"weight": weight}])
        request["criteria"][padded(generator, criterion)] = weight
    for alternative in generator.sample(alternatives, len(alternatives)):
        row = {padded(generator, c): generator.choice([generator.choice(VALUES),
                                                       round(generator.uniform(-5, 10), 2)])
               for c in generator.sample(criteria, len(criteria))}
        request["scores"][padded(generator, alternative)] = row
    if generator.random() < 0.3:
        request["show_sensitivity"] = generator.random() < 0.5
    if generator.random() < 0.3:
        request["show_details"] = generator.random() < 0.5
    for _ in range(generator.choice([0, 0, 0, 1, 2])):
        damage(generator, request)
    return request


def damage(generator, request):
    """Makes one thing wrong, or at least strange."""
    places = [(request, k) for k in list(request) if k not in ("problem", "show_details",
                                                                "show_sensitivity")]
    for key in ("criteria", "scores"):
        if isinstance(request.get(key), dict):
            places += [(request[key], k) for k in request[key]]
            places += [(row, k) for row in request[key].values() if isinstance(row, dict)
                       for k in row]
    if isinstance(request.get("alternatives"), list):
        places += [(request["alternatives"], i) for i in range(len(request["alternatives"]))]
    if not places:
        return
    where, key = generator.choice(places)
    choice = generator.random()
    if choice < 0.4:
        where[key] = generator.choice(WRONG)
    elif choice < 0.6:
        del where[key]
    elif isinstance(where, dict):
        where[generator.choice(["Nobody", " ", f" {key}", "methodology"])] = \
            generator.choice(["WSM", "AHP", 1])


def comparable(request):
    """False for what the reference does not model: types of optional members."""
    return all(isinstance(request.get(k, d), type(d)) for k, d in
               (("methodology", ""), ("problem", ""))) and \
        not isinstance(request.get("description"), (dict, list))


def generate(seed, count):
    generator = random.Random(seed)
    made = 0
    while made < count:
        request = random_request(generator)
        text = json.dumps(request, ensure_ascii=generator.random() < 0.5)
        text = text.replace("Infinity", "1e400")
        if comparable(request):
            made += 1
            yield text
