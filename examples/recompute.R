# The figures of the cohort report by another route: R's `survival`, from the rows that `figaro cohort` leaves.
#
#   Rscript examples/recompute.R var/study-result/cohort.ndjson > var/recomputed.json
#
# Needs R with the packages survival (3.0 or newer) and jsonlite (Debian: r-base-core, r-cran-survival, r-cran-jsonlite). Nothing of
# Figaro runs here. Each line of the file is a patient; docs/read-the-cohort-report.md explains its columns. Only rows with `counted` count.
# A variable of Table 3 is true for its first level, false for the second, empty where nobody recorded it. Nothing is filled in.
# What comes out is one JSON object, of numbers and no patients; but a curve has steps of single patients, and small cells are not hidden.

suppressPackageStartupMessages(library(survival))
library(jsonlite)

MONTH <- 365.25 / 12 # days
YEARS <- c(one_year = 12, two_years = 24, five_years = 60) # months
AT_RISK <- seq(0, 120, by = 12) # months
LANDMARK <- 6 # months

TABLE_3 <- c(
  "age", "size", "squamous", "ecog", "haemoglobin", "leucocytes", "oligometastatic", "bone", "organs", "lung", "liver", "nodes", "group"
)
MODELS <- list(
  os = c("age", "squamous", "oligometastatic", "nodes", "group"),
  pfs = c("age", "squamous", "oligometastatic", "group")
)

# Reading ---------------------------------------------------------------------------------------------------------------------------------

COLUMNS <- c(
  "age_years", "ecog_score", "cells", "found_by", "age", "size", "squamous", "ecog", "haemoglobin", "leucocytes", "few", "bone", "organs",
  "lung", "liver", "nodes", "group", "pelvic_radiotherapy", "external_gy", "brachytherapy_gy", "point_a_eqd2_gy", "definitive_days",
  "metastasis_radiotherapy", "cycles", "cycles_before", "cycles_during", "cycles_after", "best_locoregional", "best_distant", "progressed",
  "progressed_locoregional", "progressed_distant", "died", "died_on", "last_contact", "os_days", "pfs_days", "pfs_event"
)

column <- function(rows, name) unlist(lapply(rows, function(row) if (is.null(row[[name]])) NA else row[[name]]))

# One line a patient, with her times in months. `group` is true in group A.
as_patients <- function(rows) {
  found <- as.data.frame(lapply(setNames(COLUMNS, COLUMNS), function(name) column(rows, name)))
  found$oligometastatic <- found$few
  found$group <- found$group == "A"
  found$os_months <- found$os_days / MONTH
  found$pfs_months <- found$pfs_days / MONTH
  found$os_event <- found$died
  found
}

# Her times to the endpoint and whether it came, of those of whom the time is known and each of the variables is told.
times <- function(data, endpoint, variables = character()) {
  found <- data[variables]
  found$months <- data[[paste0(endpoint, "_months")]]
  found$event <- data[[paste0(endpoint, "_event")]]
  found[complete.cases(found), , drop = FALSE]
}

yes <- function(level) !is.na(level) & level
no <- function(level) !is.na(level) & !level
of_groups <- function(data, what) list(all = what(data), group_a = what(data[yes(data$group), ]), group_b = what(data[no(data$group), ]))

# Kaplan-Meier ----------------------------------------------------------------------------------------------------------------------------

# The first time at which a curve is no higher than a level. The margin is for the last digits of a product.
first_at <- function(months, curve, level) {
  there <- which(curve <= level + 1e-9)
  if (length(there)) months[there[1]] else NA
}

# `median` is the first time at which no more than half are without the event; R's own (`median_of_r`) is the middle between that time and
# that of the next event where the curve runs exactly at a half. Intervals are log-minus-log.
kaplan_meier <- function(data) {
  if (!nrow(data)) {
    return(NULL)
  }
  fit <- survfit(Surv(months, event) ~ 1, data = data, conf.type = "log-log")
  middle <- quantile(fit, probs = 0.5)
  list(
    patients = nrow(data), events = sum(data$event),
    median = first_at(fit$time, fit$surv, 0.5), median_low = unname(middle$lower), median_high = unname(middle$upper),
    median_of_r = unname(middle$quantile),
    survival = lapply(YEARS, function(month) rate(fit, month)),
    at_risk = list(months = AT_RISK, patients = summary(fit, times = AT_RISK, extend = TRUE)$n.risk),
    curve = list(months = I(fit$time), survival = I(fit$surv), low = I(fit$lower), high = I(fit$upper))
  )
}

# Nothing where nobody was followed so long, unless the curve has come down to nothing: R alone would draw the last value on. There is no
# interval where all or none are left.
rate <- function(fit, month) {
  found <- summary(fit, times = month, extend = TRUE)
  if (month > max(fit$time) && found$surv > 0) {
    return(NULL)
  }
  some <- found$surv > 0 && found$surv < 1
  list(survival = found$surv, low = if (some) found$lower, high = if (some) found$upper, at_risk = found$n.risk)
}

follow_up <- function(data) {
  data <- times(data, "os")
  reverse <- survfit(Surv(months, !event) ~ 1, data = data)
  list(
    reverse_kaplan_meier = list(
      median = first_at(reverse$time, reverse$surv, 0.5),
      quartiles = c(first_at(reverse$time, reverse$surv, 0.75), first_at(reverse$time, reverse$surv, 0.25))
    ),
    observed = list(median = median(data$months), shortest = min(data$months), longest = max(data$months))
  )
}

# Comparison ------------------------------------------------------------------------------------------------------------------------------

log_rank_p <- function(data, endpoint, variable) {
  found <- times(data, endpoint, variable)
  if (length(unique(found[[variable]])) < 2 || !any(found$event)) {
    return(NULL)
  }
  pchisq(survdiff(Surv(found$months, found$event) ~ found[[variable]])$chisq, 1, lower.tail = FALSE)
}

# Cox's model with Efron's ties: the first level against the second. Left out is a variable in which all are alike, or of which one level
# has no event. Where the search for the maximum ends nowhere there is no model, but what R says of it.
cox <- function(data, endpoint, variables) {
  found <- times(data, endpoint, variables)
  has_ratio <- function(name) length(unique(found[[name]][found$event])) == 2
  used <- Filter(has_ratio, variables)
  told <- list(
    patients = nrow(found), events = sum(found$event), without = I(setdiff(variables, used)),
    left_out_for_want_of_a_variable = nrow(data) - nrow(found)
  )
  if (!length(used)) {
    return(c(told, list(variables = NULL)))
  }
  found[used] <- lapply(found[used], as.numeric)
  fit <- tryCatch(coxph(reformulate(used, "Surv(months, event)"), data = found, ties = "efron"), warning = conditionMessage)
  if (is.character(fit) || anyNA(coef(fit))) {
    return(c(told, list(why_not = if (is.character(fit)) fit else "two variables say the same", variables = NULL)))
  }
  ratio <- summary(fit)$conf.int
  p <- summary(fit)$coefficients[, "Pr(>|z|)"]
  zph <- lapply(c(rank = "rank", km = "km"), function(by) cox.zph(fit, transform = by, global = FALSE)$table[, "p"])
  older <- grambsch_therneau(fit)
  of_one <- function(n) {
    list(
      hazard_ratio = ratio[n, "exp(coef)"], low = ratio[n, "lower .95"], high = ratio[n, "upper .95"], p = unname(p[n]),
      proportional_hazards_p = list(
        grambsch_therneau_rank = unname(older[n]), cox_zph_rank = unname(zph$rank[n]), cox_zph_km = unname(zph$km[n])
      )
    )
  }
  c(told, list(variables = setNames(lapply(seq_along(used), of_one), used)))
}

# The test of proportional hazards of 1994 (Grambsch and Therneau, Biometrika 81:515), which cox.zph made until survival 3.0: Schoenfeld
# residuals scaled by the variance of the whole model, against the rank of the time. cox.zph is a score test since.
grambsch_therneau <- function(fit) {
  residuals <- as.matrix(residuals(fit, type = "schoenfeld"))
  events <- nrow(residuals)
  ranks <- rank(as.numeric(rownames(residuals)))
  centred <- ranks - mean(ranks)
  scaled <- events * residuals %*% fit$var
  pchisq(colSums(centred * scaled)^2 / (events * diag(fit$var) * sum(centred^2)), 1, lower.tail = FALSE)
}

# Among those who reached the landmark without the event, with time from there. In group A is who had finished its radiotherapy by then;
# of whom nobody recorded when, she is left out.
landmark <- function(data, endpoint) {
  name <- paste0(endpoint, "_months")
  there <- data[!is.na(data[[name]]) & data[[name]] > LANDMARK, ]
  unknown <- yes(there$group) & is.na(there$definitive_days)
  there <- there[!unknown, ]
  there[[name]] <- there[[name]] - LANDMARK
  done <- yes(there$definitive_days <= LANDMARK * MONTH)
  later <- yes(there$group) & !done
  there$group <- there$group & done
  list(
    month = LANDMARK, group_a = sum(there$group), group_b = sum(!there$group), finished_later = sum(later), end_unknown = sum(unknown),
    log_rank_p = log_rank_p(there, endpoint, "group"), cox = cox(there, endpoint, "group")
  )
}

# Where radiotherapy is not known nobody is in a group, and the model is without it.
endpoint <- function(data, name) {
  apart <- !all(is.na(data$group))
  list(
    kaplan_meier = of_groups(data, function(part) kaplan_meier(times(part, name))),
    log_rank_p = log_rank_p(data, name, "group"),
    cox = cox(data, name, if (apart) MODELS[[name]] else setdiff(MODELS[[name]], "group")),
    cox_of_group_alone = if (apart) cox(data, name, "group"),
    landmark = if (apart) landmark(data, name)
  )
}

# Tables ----------------------------------------------------------------------------------------------------------------------------------

counted <- function(data, which) of_groups(data, function(part) sum(yes(which(part))))
each_value <- function(data, name, values) {
  lapply(setNames(values, values), function(value) counted(data, function(part) part[[name]] == value))
}
levels_of <- function(data, name) {
  list(
    first = counted(data, function(part) part[[name]]), second = counted(data, function(part) !part[[name]]),
    not_told = counted(data, function(part) is.na(part[[name]]))
  )
}
medians <- function(data, name) {
  of_groups(data, function(part) {
    values <- part[[name]][!is.na(part[[name]])]
    if (length(values)) list(median = median(values), low = min(values), high = max(values))
  })
}

table_1 <- function(data) {
  list(
    age_years = medians(data, "age_years"),
    ecog_score = each_value(data, "ecog_score", 0:2),
    histology = each_value(data, "cells", sort(unique(na.omit(data$cells)))),
    size = levels_of(data, "size"), haemoglobin = levels_of(data, "haemoglobin"), leucocytes = levels_of(data, "leucocytes"),
    found_by = c(
      each_value(data, "found_by", c("ct-mri-ect", "pet-ct", "biopsy")),
      list(not_told = counted(data, function(part) is.na(part$found_by)))
    ),
    cycles = medians(data, "cycles"),
    pelvic_radiotherapy = counted(data, function(part) part$pelvic_radiotherapy %in% c("definitive", "palliative")),
    metastasis_radiotherapy = counted(data, function(part) part$metastasis_radiotherapy),
    cycles_before = counted(data, function(part) part$cycles_before > 0),
    cycles_during = counted(data, function(part) part$cycles_during > 0),
    cycles_after = counted(data, function(part) part$cycles_after > 0),
    external_gy = medians(data, "external_gy"),
    brachytherapy_gy = medians(data, "brachytherapy_gy"),
    point_a_eqd2_gy = medians(data, "point_a_eqd2_gy")
  )
}

cycles_by_regimen <- function(rows) {
  all <- unlist(lapply(rows, function(row) row[["regimens"]]), recursive = FALSE)
  found <- tapply(sapply(all, `[[`, "cycles"), sapply(all, `[[`, "drugs"), sum)
  as.list(sort(found, decreasing = TRUE))
}

table_2 <- function(rows, data) {
  organs <- lapply(rows, function(row) sort(unlist(row[["metastatic_organs"]]), method = "radix"))
  pattern <- paste0(sapply(organs, paste, collapse = ", "), ifelse(yes(data$nodes), " + nodes", ""))
  list(
    patterns = as.list(sort(table(pattern), decreasing = TRUE)),
    organs = as.list(sort(table(unlist(organs)), decreasing = TRUE)), all = length(unlist(organs))
  )
}

table_3 <- function(data) {
  at_two_years <- function(level, name) kaplan_meier(times(level, name))$survival$two_years
  level <- function(part) {
    list(patients = nrow(part), pfs_two_years = at_two_years(part, "pfs"), os_two_years = at_two_years(part, "os"))
  }
  lapply(setNames(TABLE_3, TABLE_3), function(name) {
    list(
      first = level(data[yes(data[[name]]), ]), second = level(data[no(data[[name]]), ]), not_told = sum(is.na(data[[name]])),
      pfs_log_rank_p = log_rank_p(data, "pfs", name), os_log_rank_p = log_rank_p(data, "os", name)
    )
  })
}

table_4 <- function(data) {
  list(
    complete_locoregional = counted(data, function(part) part$best_locoregional == "complete"),
    complete_distant = counted(data, function(part) part$best_distant == "complete"),
    partial = counted(data, function(part) part$best_locoregional == "partial"),
    stable = counted(data, function(part) part$best_locoregional == "stable"),
    progression_locoregional = counted(data, function(part) part$progressed_locoregional),
    progression_distant = counted(data, function(part) part$progressed_distant),
    deaths = counted(data, function(part) part$died)
  )
}

missing_in <- function(data) {
  asked <- c(
    "age_years", "ecog_score", "cells", "size", "haemoglobin", "leucocytes", "found_by", "few", "pfs_days", "best_locoregional"
  )
  found <- lapply(setNames(asked, asked), function(name) sum(is.na(data[[name]])))
  pelvis <- data$pelvic_radiotherapy %in% c("definitive", "palliative")
  doses <- list(
    external_gy = sum(is.na(data$external_gy[pelvis])), brachytherapy_gy = sum(is.na(data$brachytherapy_gy[yes(data$group)])),
    point_a_eqd2_gy = sum(is.na(data$point_a_eqd2_gy[yes(data$group)]))
  )
  Filter(function(number) number > 0, c(found, doses))
}

# All of it -------------------------------------------------------------------------------------------------------------------------------

recomputed <- function(file) {
  everybody <- lapply(readLines(file, encoding = "UTF-8", warn = FALSE), fromJSON, simplifyVector = FALSE)
  rows <- Filter(function(row) isTRUE(row[["counted"]]), everybody)
  if (!length(rows)) {
    stop("nobody in this file is counted: its rows say why, in left_out", call. = FALSE)
  }
  data <- as_patients(rows)
  progressed <- data$pfs_months[yes(data$progressed)]
  list(
    made_with = paste0(R.version.string, ", survival ", packageVersion("survival")),
    rows = length(everybody), left_out = as.list(table(column(everybody, "left_out"))),
    counted = of_groups(data, nrow), newest_day = max(c(data$last_contact, data$died_on), na.rm = TRUE),
    follow_up = follow_up(data), median_months_to_progression = median(progressed, na.rm = TRUE),
    overall_survival = endpoint(data, "os"), progression_free_survival = endpoint(data, "pfs"),
    table_1 = table_1(data), cycles_by_regimen = cycles_by_regimen(rows), cycles = sum(data$cycles),
    table_2 = table_2(rows, data), table_3 = table_3(data), table_4 = table_4(data), not_told = missing_in(data)
  )
}

given <- commandArgs(trailingOnly = TRUE)
if (length(given) != 1 || !file.exists(given) || dir.exists(given)) {
  stop("give the file of a result that is there: Rscript examples/recompute.R var/study-result/cohort.ndjson", call. = FALSE)
}
cat(toJSON(recomputed(given), auto_unbox = TRUE, digits = NA, na = "null", null = "null", pretty = TRUE), "\n")
