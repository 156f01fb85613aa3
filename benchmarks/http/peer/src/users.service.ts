import { Inject, Injectable } from '@nestjs/common';
import { avg, count, countDistinct, desc, eq, max, min } from 'drizzle-orm';
import { DATABASE, Database } from './database.module';
import { attempts } from './schema';

@Injectable()
export class UsersService {
  constructor(@Inject(DATABASE) private readonly database: Database) {}

  async stats(userId: string) {
    // Both at once, on two connections of the pool.
    const [[numbers], recent] = await Promise.all([
      this.database
        .select({
          total: count(),
          average: avg(attempts.score),
          highest: max(attempts.score),
          lowest: min(attempts.score),
          quizzes: countDistinct(attempts.quizId),
        })
        .from(attempts)
        .where(eq(attempts.userId, userId)),
      this.database.query.attempts.findMany({
        where: eq(attempts.userId, userId),
        orderBy: [desc(attempts.createdAt), desc(attempts.id)],
        limit: 5,
        columns: { answers: false, correct: false },
        with: { quiz: { columns: { id: true, title: true, description: true } } },
      }),
    ]);
    return {
      totalAttempts: numbers.total,
      averageScore: Math.round(Number(numbers.average ?? 0) * 100) / 100,
      highestScore: numbers.highest ?? 0,
      lowestScore: numbers.lowest ?? 0,
      recentAttempts: recent,
      totalQuizzesTaken: numbers.quizzes,
    };
  }
}
