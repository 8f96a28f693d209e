-- P5's peer: the features of the credit template's account model as of $now, as an overnight batch says them.
-- Of movements(account, at, amount, balance, kind, counterparty): µs since 1970 and cents. There are no loans yet.
WITH
known AS (
    SELECT *, ($now - "at") / 86400000000 AS days, kind <> 'own' AND amount > 0 AS inflow,
        kind <> 'own' AND amount < 0 AS outflow
    FROM movements WHERE "at" <= $now
),
of_account AS (
    SELECT account, min("at") AS first_at, max("at") AS last_at,
        coalesce(sum(amount) FILTER (inflow AND days < 7), 0) / 100 AS inflow_sum_7d,
        coalesce(sum(amount) FILTER (inflow AND days < 30), 0) / 100 AS inflow_sum_30d,
        coalesce(sum(amount) FILTER (inflow AND days < 90), 0) / 100 AS inflow_sum_90d,
        coalesce(sum(amount) FILTER (outflow AND days < 7), 0) / 100 AS outflow_sum_7d,
        coalesce(sum(amount) FILTER (outflow AND days < 30), 0) / 100 AS outflow_sum_30d,
        coalesce(sum(amount) FILTER (outflow AND days < 90), 0) / 100 AS outflow_sum_90d,
        coalesce(sum(amount) FILTER (inflow AND days < 30), 0) AS in0,
        coalesce(sum(amount) FILTER (inflow AND days >= 30 AND days < 60), 0) AS in1,
        coalesce(sum(amount) FILTER (inflow AND days >= 60 AND days < 90), 0) AS in2,
        coalesce(sum(amount) FILTER (inflow AND days >= 90 AND days < 120), 0) AS in3,
        coalesce(sum(amount) FILTER (inflow AND days >= 120 AND days < 150), 0) AS in4,
        coalesce(sum(amount) FILTER (inflow AND days >= 150 AND days < 180), 0) AS in5,
        coalesce(sum(amount) FILTER (kind <> 'own' AND days < 30), 0) AS net0,
        coalesce(sum(amount) FILTER (kind <> 'own' AND days >= 30 AND days < 60), 0) AS net1,
        coalesce(sum(amount) FILTER (kind <> 'own' AND days >= 60 AND days < 90), 0) AS net2,
        coalesce(sum(amount) FILTER (kind <> 'own' AND days >= 90 AND days < 120), 0) AS net3,
        coalesce(sum(amount) FILTER (kind <> 'own' AND days >= 120 AND days < 150), 0) AS net4,
        coalesce(sum(amount) FILTER (kind <> 'own' AND days >= 150 AND days < 180), 0) AS net5,
        max("at") FILTER (kind = 'salary' AND inflow AND days < 180) AS last_salary,
        coalesce(sum(amount) FILTER (kind IN ('rent', 'loan') AND outflow AND days < 90), 0) / 100 AS fixed,
        coalesce(sum(amount) FILTER (kind = 'cash' AND outflow AND days < 90), 0) / 100 AS cash,
        count(*) FILTER (kind = 'returned' AND days < 30) AS returned_count_30d,
        count(*) FILTER (kind = 'returned' AND days < 90) AS returned_count_90d,
        max("at") FILTER (kind = 'returned' AND days < 180) AS last_returned,
        coalesce(sum(amount) FILTER (kind = 'loan' AND inflow AND days < 90), 0) / 100 AS advances_sum,
        count(*) FILTER (kind = 'loan' AND inflow AND amount < 50000 AND days < 90) AS advances_small,
        coalesce(sum(amount) FILTER (kind = 'loan' AND outflow AND days < 90), 0) / 100 AS repaid
    FROM known GROUP BY account
),
months AS (
    SELECT account, least(6, ($now - first_at) // 2592000000000 + 1) AS n,
        in0 + in1 + in2 + in3 + in4 + in5 AS s,
        in0 * in0 + in1 * in1 + in2 * in2 + in3 * in3 + in4 * in4 + in5 * in5 AS s2,
        -(in1 + 2 * in2 + 3 * in3 + 4 * in4 + 5 * in5) AS xs,
        (net0 < 0)::INT + (net1 < 0)::INT + (net2 < 0)::INT + (net3 < 0)::INT + (net4 < 0)::INT + (net5 < 0)::INT
            AS months_negative
    FROM of_account
),
of_counterparty AS (
    SELECT account, counterparty, count(*) FILTER (inflow) AS paid, sum(amount) FILTER (inflow) AS paid_in,
        count(*) FILTER (outflow AND kind = 'loan') AS lent
    FROM known WHERE days < 90 AND counterparty IS NOT NULL GROUP BY account, counterparty
),
keys AS (
    SELECT account, count(*) FILTER (paid > 0) AS payers, count(*) FILTER (lent > 0) AS lenders,
        max(paid_in) / 100 AS top_paid
    FROM of_counterparty GROUP BY account
),
inflow_gaps AS (
    SELECT account, max(gap) / 1e6 AS inflow_gap
    FROM (
        SELECT account, "at" - lag("at") OVER (PARTITION BY account ORDER BY "at") AS gap
        FROM known WHERE inflow AND days < 90
    )
    GROUP BY account
),
payroll_gaps AS (
    SELECT account, stddev_pop(gap) / 1e6 AS payroll_gap_std, quantile_disc(gap, 0.5) / 1e6 AS payroll_gap
    FROM (
        SELECT account, "at" - lag("at") OVER (PARTITION BY account ORDER BY "at") AS gap
        FROM known WHERE kind = 'salary' AND inflow AND days < 180
    )
    GROUP BY account
),
held AS (  -- a balance holds until the next one: from age a down to age b, in whole seconds
    SELECT account, balance AS v, lead("at") OVER each_account AS until, ($now - "at") // 1000000 AS a,
        ($now - coalesce(lead("at") OVER each_account, $now)) // 1000000 AS b
    FROM known WHERE balance IS NOT NULL WINDOW each_account AS (PARTITION BY account ORDER BY "at")
),
clipped AS (
    SELECT *, least(a, 2592000) AS a30, least(b, 2592000) AS b30, least(a, 7776000) AS a90, least(b, 7776000) AS b90
    FROM held
),
levels AS (
    SELECT account, any_value(v) FILTER (until IS NULL) AS v_now, max(until) FILTER (v < 0) AS rose,
        sum(a30 - b30) AS l30, sum(v * (a30 - b30)) AS v30, sum(v::HUGEINT * (a30 * a30 - b30 * b30)) AS vv30,
        sum(a90 - b90) AS l90, sum(v * (a90 - b90)) AS v90, sum(v::HUGEINT * (a90 * a90 - b90 * b90)) AS vv90,
        sum(v::HUGEINT * v * (a90 - b90)) AS q90,
        min(v) FILTER (until IS NULL OR $now - until < 2592000000000) / 100 AS balance_min_30d,
        min(v) FILTER (until IS NULL OR $now - until < 7776000000000) / 100 AS balance_min_90d,
        coalesce(sum(a30 - b30) FILTER (v < 0), 0) AS overdrawn_30d,
        coalesce(sum(a90 - b90) FILTER (v < 0), 0) AS overdrawn_90d
    FROM clipped GROUP BY account
)
SELECT account,
    inflow_sum_7d, inflow_sum_30d, inflow_sum_90d,
    sqrt(n * s2 - s * s) / nullif(s, 0) AS inflow_cv,
    (n * xs + n * (n - 1) / 2 * s) / nullif(n * n * (n * n - 1) / 12, 0) / nullif(s / n, 0) AS inflow_trend,
    inflow_sum_7d / nullif(inflow_sum_90d * 7 / 90, 0) AS inflow_pace,
    inflow_gap,
    payroll_gap_std,
    ($now - last_salary) / 1e6 / nullif(payroll_gap, 0) AS payroll_due,
    coalesce(payers, 0) AS payers,
    top_paid / nullif(inflow_sum_90d, 0) AS top_payer,
    outflow_sum_7d, outflow_sum_30d, outflow_sum_90d,
    -outflow_sum_90d / nullif(inflow_sum_90d, 0) AS burn,
    outflow_sum_7d / nullif(outflow_sum_90d * 7 / 90, 0) AS outflow_pace,
    months_negative,
    -fixed / nullif(inflow_sum_90d, 0) AS fixed_costs,
    cash / nullif(outflow_sum_90d, 0) AS cash_share,
    v30 / nullif(l30 * 100, 0) AS balance_mean_30d,
    v90 / nullif(l90 * 100, 0) AS balance_mean_90d,
    balance_min_30d, balance_min_90d,
    sqrt(l90 * q90 - v90 * v90) / nullif(v90, 0) AS balance_cv,
    6 * (l30 * v30 - vv30) * 86400.0 / nullif(l30 * l30 * l30 * 100, 0) AS balance_slope_30d,
    6 * (l90 * v90 - vv90) * 86400.0 / nullif(l90 * l90 * l90 * 100, 0) AS balance_slope_90d,
    v_now / nullif(v90 / l90, 0) AS balance_now,
    v_now / 100 / nullif(-outflow_sum_90d / 90, 0) AS buffer_days,
    overdrawn_30d, overdrawn_90d,
    CASE WHEN v_now < 0 THEN 0 ELSE ($now - rose) / 1e6 END AS since_overdrawn,
    returned_count_30d, returned_count_90d,
    ($now - last_returned) / 1e6 AS since_returned,
    advances_sum, advances_small,
    coalesce(lenders, 0) AS lenders,
    -repaid / nullif(inflow_sum_90d, 0) AS debt_service,
    0 AS late_count_last_3, 0 AS late_count_last_10, NULL AS late_mean_last_3, NULL AS late_mean_last_10,
    NULL AS late_trend, 0 AS early_count, 0 AS loans,
    ($now - first_at) / 1e6 AS history,
    ($now - last_at) / 1e6 AS staleness
FROM of_account JOIN months USING (account) LEFT JOIN keys USING (account) LEFT JOIN levels USING (account)
    LEFT JOIN inflow_gaps USING (account) LEFT JOIN payroll_gaps USING (account)
