//! Geometry on a sphere: distances, and the boxes that contain all points within a radius.
//!
//! The database finds the rows in a box; their order is decided here, by the exact distance. So both databases
//! return the same order to the last bit.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use shared::ids::ProductId;

/// The sphere's radius in metres, as MySQL's `ST_Distance_Sphere` has it (`domain.md` §3.2).
const RADIUS_M: f64 = 6_370_986.0;

/// Half of the circumference: the maximum distance.
pub(super) const FARTHEST_M: f64 = RADIUS_M * std::f64::consts::PI;

/// Added to the outer radius of a ring: SQLite's index stores coordinates in single precision, an error of a
/// metre.
const RING_SLACK_M: f64 = 5.0;

/// Length of a degree of longitude on the flat map, relative to one of latitude: cos 36.5°.
const FLAT_EAST: f64 = 0.804;

/// Added to the size of a box beyond its circle, against rounding errors.
const SLACK_M: f64 = 1.0;

/// A point: degrees of latitude from -90 to 90 and of longitude from -180 to 180.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    latitude: f64,
    longitude: f64,
}

impl Position {
    /// A point; `None` outside the bounds and for NaN.
    #[must_use]
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let valid = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        // Adding zero turns -0 into 0, so that equal points have equal bits.
        valid.then_some(Self {
            latitude: latitude + 0.0,
            longitude: longitude + 0.0,
        })
    }

    /// Degrees of latitude, north positive.
    #[must_use]
    pub const fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees of longitude, east positive.
    #[must_use]
    pub const fn longitude(self) -> f64 {
        self.longitude
    }

    /// Latitude and longitude in parts of a degree, rounded: the square of the map that it lies in.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a degree is at most 180 and its parts are thousandths"
    )]
    pub(super) fn rounded(self, per_degree: f64) -> (i32, i32) {
        let part = |degrees: f64| (degrees * per_degree).round() as i32;
        (part(self.latitude), part(self.longitude))
    }

    /// Rounded to a thousandth of a degree, about 100 m: the position of a hotspot for members who have no booking
    /// of it. `0016_hotspots.sql` rounds in the same way.
    #[must_use]
    pub fn coarse(self) -> Self {
        const PER_DEGREE: f64 = 1_000.0;
        let (north, east) = self.rounded(PER_DEGREE);
        Self {
            latitude: f64::from(north) / PER_DEGREE,
            longitude: f64::from(east) / PER_DEGREE,
        }
    }

    /// Distance along the sphere in metres, by the haversine formula (R. W. Sinnott, "Virtues of the Haversine",
    /// Sky and Telescope 68, 1984): accurate for short distances, unlike the law of cosines.
    #[must_use]
    pub fn distance_m(self, other: Self) -> f64 {
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let across = (other.longitude - self.longitude).to_radians();
        let haversine = ((to - from) / 2.0).sin().powi(2)
            + from.cos() * to.cos() * (across / 2.0).sin().powi(2);
        2.0 * RADIUS_M * haversine.sqrt().min(1.0).asin()
    }

    /// The ring from `inner_m` to `outer_m` on the plane that touches the sphere here, widened by the plane's
    /// error: a prefilter that a database can compute.
    ///
    /// With latitude φ here and θ the ring's outer angle, the exact distance² differs from the plane's by less
    /// than the fraction (tan φ + θ) θ: a parallel's length changes by that much within θ, and the curvature of
    /// the sphere (θ²/24) contributes less.
    pub(super) fn ring(self, inner_m: f64, outer_m: f64) -> Ring {
        let degrees = |metres: f64| (metres / RADIUS_M).to_degrees();
        let latitude = self.latitude.to_radians();
        let angle = (outer_m + RING_SLACK_M) / RADIUS_M;
        let wrong = (latitude.tan().abs() + angle) * angle * 1.1;
        let is_local = wrong < 0.5 && self.boxes(outer_m).len() == 1;
        let (least, most) = if is_local {
            (
                degrees((inner_m - RING_SLACK_M).max(0.0)).powi(2) / (1.0 + wrong),
                degrees(outer_m + RING_SLACK_M).powi(2) / (1.0 - wrong),
            )
        } else {
            // The whole plane: it is too inaccurate over such a distance, or across the 180th meridian.
            (0.0, 1e6)
        };
        Ring {
            centre: self,
            east_squared: latitude.cos().powi(2),
            least,
            most,
        }
    }

    /// Distance in degrees on a flat map, where a degree of longitude counts 0.804 of one of latitude:
    /// PostgreSQL's index orders by it (`0002_products.sql`).
    pub(super) fn flat_distance(self, other: Self) -> f64 {
        let north = other.latitude - self.latitude;
        ((other.longitude - self.longitude) * FLAT_EAST).hypot(north)
    }

    /// Distance of the box's farthest corner on that map.
    pub(super) fn flat_reach(self, bounds: Bounds) -> f64 {
        let north = (bounds.north - self.latitude).max(self.latitude - bounds.south);
        let east = (bounds.east - self.longitude).max(self.longitude - bounds.west);
        (east * FLAT_EAST).hypot(north)
    }

    /// Boxes that together contain all points within `radius_m`: one, or two across the 180th meridian.
    pub(super) fn boxes(self, radius_m: f64) -> Vec<Bounds> {
        let angle = (radius_m + SLACK_M) / RADIUS_M;
        let reach = angle.to_degrees();
        let (south, north) = (self.latitude - reach, self.latitude + reach);
        // A circle that contains a pole contains all longitudes.
        if south <= -90.0 || north >= 90.0 {
            return vec![Bounds {
                south: south.max(-90.0),
                north: north.min(90.0),
                west: -180.0,
                east: 180.0,
            }];
        }
        // The meridian tangent to the circle, not the one through its centre's parallel.
        let sine = (angle.sin() / self.latitude.to_radians().cos()).min(1.0);
        let across = sine.asin().to_degrees();
        let (west, east) = (self.longitude - across, self.longitude + across);
        let part = |west: f64, east: f64| Bounds {
            south,
            north,
            west,
            east,
        };
        if west < -180.0 {
            vec![part(-180.0, east), part(west + 360.0, 180.0)]
        } else if east > 180.0 {
            vec![part(west, 180.0), part(-180.0, east - 360.0)]
        } else {
            vec![part(west, east)]
        }
    }
}

/// Squares of distances on a plane, in degrees of latitude; a degree of longitude is `√east_squared` there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ring {
    pub(super) centre: Position,
    pub(super) east_squared: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// A box in degrees, edges included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    pub(super) south: f64,
    pub(super) north: f64,
    pub(super) west: f64,
    pub(super) east: f64,
}

/// A row and its distance. Ordered by distance, then id.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hit {
    pub(super) distance_m: f64,
    pub(super) id: ProductId,
    pub(super) at: Position,
}

impl Hit {
    fn order(&self, other: &Self) -> Ordering {
        let by_distance = self.distance_m.total_cmp(&other.distance_m);
        by_distance.then(self.id.cmp(&other.id))
    }

    /// True if it comes after this distance and id in the order.
    pub(super) fn is_after(&self, place: Option<(f64, ProductId)>) -> bool {
        place.is_none_or(|(distance_m, id)| {
            let by_distance = self.distance_m.total_cmp(&distance_m);
            by_distance.then(self.id.cmp(&id)) == Ordering::Greater
        })
    }
}

/// Collects the first few of many hits offered in any order. Memory is bounded by their number.
#[derive(Debug)]
pub(super) struct FirstFew {
    few: usize,
    kept: BinaryHeap<Farthest>,
}

#[derive(Debug)]
struct Farthest(Hit);

impl PartialEq for Farthest {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Farthest {}

impl PartialOrd for Farthest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Farthest {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.order(&other.0)
    }
}

impl FirstFew {
    pub(super) fn new(few: usize) -> Self {
        Self {
            few,
            kept: BinaryHeap::with_capacity(few + 1),
        }
    }

    pub(super) fn offer(&mut self, hit: Hit) {
        self.kept.push(Farthest(hit));
        if self.kept.len() > self.few {
            self.kept.pop();
        }
    }

    /// The hits in ascending order.
    pub(super) fn into_sorted(self) -> Vec<Hit> {
        let kept = self.kept.into_sorted_vec();
        kept.into_iter().map(|Farthest(hit)| hit).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(latitude: f64, longitude: f64) -> Position {
        Position::new(latitude, longitude).unwrap()
    }

    /// Reference implementation, independent of the haversine formula: the angle between the two unit vectors,
    /// by the arc tangent of cross and dot product.
    fn distance_by_vectors_m(a: Position, b: Position) -> f64 {
        let vector = |p: Position| {
            let (lat, lon) = (p.latitude.to_radians(), p.longitude.to_radians());
            [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
        };
        let (a, b) = (vector(a), vector(b));
        let cross = [
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ];
        let length = cross.iter().map(|x| x * x).sum::<f64>().sqrt();
        let dot: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
        RADIUS_M * length.atan2(dot)
    }

    #[test]
    fn degree_of_a_great_circle_is_its_360th() {
        let degree_m = 2.0 * FARTHEST_M / 360.0;
        assert!((at(0.0, 0.0).distance_m(at(0.0, 1.0)) - degree_m).abs() < 1e-6);
        assert!((at(36.0, 127.0).distance_m(at(37.0, 127.0)) - degree_m).abs() < 1e-6);
        assert!((at(0.0, 179.5).distance_m(at(0.0, -179.5)) - degree_m).abs() < 1e-6);
        assert!((at(90.0, 0.0).distance_m(at(-90.0, 5.0)) - FARTHEST_M).abs() < 1e-6);
    }

    #[test]
    fn ring_near_by_is_hardly_wider_than_asked() {
        let ring = at(37.5665, 126.978).ring(20_000.0, 20_500.0);
        let metres = |squared: f64| squared.sqrt().to_radians() * RADIUS_M;
        assert!((19_950.0..20_000.0).contains(&metres(ring.least)));
        assert!((20_500.0..20_550.0).contains(&metres(ring.most)));
    }

    #[test]
    fn no_place_is_refused() {
        for (latitude, longitude) in [
            (91.0, 0.0),
            (0.0, -180.1),
            (f64::NAN, 0.0),
            (0.0, f64::INFINITY),
        ] {
            assert_eq!(Position::new(latitude, longitude), None);
        }
    }

    fn anywhere() -> impl Strategy<Value = Position> {
        (-90.0..=90.0_f64, -180.0..=180.0_f64).prop_map(|(lat, lon)| at(lat, lon))
    }

    proptest! {
        #[test]
        fn distance_agrees_with_the_vectors(a in anywhere(), b in anywhere()) {
            prop_assert!((a.distance_m(b) - distance_by_vectors_m(a, b)).abs() < 0.5);
        }

        #[test]
        fn boxes_hold_all_that_is_near(a in anywhere(), b in anywhere(), more in 0.0..1e6_f64) {
            let radius_m = a.distance_m(b) + more;
            let boxes = a.boxes(radius_m);
            let holds = |part: &Bounds| {
                (part.south..=part.north).contains(&b.latitude)
                    && (part.west..=part.east).contains(&b.longitude)
            };
            prop_assert_eq!(boxes.iter().filter(|part| holds(part)).count(), 1);
        }

        #[test]
        fn ring_holds_all_that_is_between_its_distances(
            a in anywhere(), north in -8.0..8.0_f64, east in -8.0..8.0_f64, less in 0.0..9e5_f64,
            more in 0.0..1e5_f64, nudge in -8e-6..8e-6_f64
        ) {
            let b = at((a.latitude + north).clamp(-90.0, 90.0), (a.longitude + east).clamp(-180.0, 180.0));
            let distance_m = a.distance_m(b);
            let ring = a.ring((distance_m - less).max(0.0), distance_m + more);
            // SQLite's index rounds to single precision.
            let north = b.latitude + nudge - a.latitude;
            let east = b.longitude - nudge - a.longitude;
            let plane = north * north + east * east * ring.east_squared;
            prop_assert!((ring.least..=ring.most).contains(&plane), "{ring:?} {plane}");
        }

        #[test]
        fn first_few_are_those_of_the_sorted_whole(
            distances in proptest::collection::vec(0..20_u8, 0..50), few in 1..10_usize
        ) {
            let hits: Vec<Hit> = (1_u64..).zip(distances)
                .map(|(id, d)| (ProductId::try_from(id).unwrap(), d))
                .map(|(id, d)| Hit { distance_m: f64::from(d), id, at: at(0.0, 0.0) }).collect();
            let mut kept = FirstFew::new(few);
            hits.iter().rev().for_each(|hit| kept.offer(*hit));
            let mut sorted = hits;
            sorted.sort_by(Hit::order);
            sorted.truncate(few);
            prop_assert_eq!(kept.into_sorted(), sorted);
        }
    }
}
